// An element with data-status="/path" shows the text of GET /path, {text, over}, until it is over.

for (const line of document.querySelectorAll("[data-status]")) {
  let wait = 1200
  const look = async () => {
    try {
      const answer = await fetch(line.dataset.status)
      const {text, over} = await answer.json()
      if (line.textContent !== text) line.textContent = text
      if (over) return
    } catch {} // a service that is away comes back
    wait = Math.min(wait * 1.2, 8000)
    setTimeout(look, wait)
  }
  setTimeout(look, wait)
}
