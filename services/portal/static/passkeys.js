// A form with data-passkey="get" or "create" and data-options="/path": POST /path gives {ceremony, options}; the browser's
// answer goes into its fields `ceremony` and `credential`, and the form is sent. It is shown if the browser can do that,
// else .no-passkeys is. A field with data-from="id" is sent with whether that box is ticked. Sentences: data-failed, -known.

const PARSE = {get: "parseRequestOptionsFromJSON", create: "parseCreationOptionsFromJSON"}
const EARLY = 30 // seconds before an offer expires
let offered // that of the field for the username

async function ask(form) {
  const body = new URLSearchParams({form_token: form.elements.form_token.value})
  const answer = await fetch(form.dataset.options, {method: "POST", body})
  if (answer.redirected) { // a newer login is needed first
    location.assign(answer.url)
    return new Promise(() => {})
  }
  if (answer.ok) return answer.json()
  const page = new DOMParser().parseFromString(await answer.text(), "text/html")
  throw new Error(page.querySelector("[role=alert]")?.textContent.trim())
}

async function answer(form, {ceremony, options}, how) {
  const kind = form.dataset.passkey
  const publicKey = PublicKeyCredential[PARSE[kind]](options)
  const credential = await navigator.credentials[kind]({publicKey, ...how})
  form.elements.ceremony.value = ceremony
  form.elements.credential.value = JSON.stringify(credential)
  for (const field of form.querySelectorAll("[data-from]"))
    field.value = document.getElementById(field.dataset.from).checked ? "1" : ""
  form.submit()
}

// Without a sentence: nobody has asked for it yet.
async function offer(form) {
  try {
    const asked = await ask(form)
    form.hidden = false
    if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return
    const own = (offered = new AbortController())
    const late = setTimeout(() => { own.abort(); offer(form) }, (asked.expires_in - EARLY) * 1000)
    own.signal.addEventListener("abort", () => clearTimeout(late))
    await answer(form, asked, {mediation: "conditional", signal: own.signal})
  } catch {}
}

async function press(form, line, button) {
  offered?.abort()
  line.hidden = button.disabled = true
  try {
    await answer(form, await ask(form))
  } catch (error) {
    line.textContent = error.name === "InvalidStateError" ? form.dataset.known
      : error.name === "Error" && error.message || form.dataset.failed
    line.hidden = button.disabled = false
    if (offered) offer(form)
  }
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential?.[PARSE[form.dataset.passkey]]) {
    for (const each of document.querySelectorAll(".no-passkeys")) each.hidden = false
    continue
  }
  form.addEventListener("submit", event => {
    event.preventDefault()
    press(form, form.querySelector("[role=alert]"), form.querySelector("button"))
  })
  if ("conditional" in form.dataset) offer(form)
  else form.hidden = false
}
