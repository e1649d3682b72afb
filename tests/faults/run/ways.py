"""The ways of one service to the nodes of the broker: one proxy for each, and all of them fail together."""

from __future__ import annotations

from collections.abc import Sequence

from tests.servers.tcp_proxy import TcpProxy, Way


class Ways:
    """As a `TcpProxy` to several servers. With `direct` there are no proxies, and nothing here can fail."""

    def __init__(self, urls: Sequence[str], *, direct: bool = False) -> None:
        self._urls = urls
        self._proxies = [] if direct else [TcpProxy.to_broker(url) for url in urls]

    @property
    def settings(self) -> dict[str, str]:
        """Known once they have been started."""
        urls = [proxy.url(url) for proxy, url in zip(self._proxies, self._urls, strict=False)] or self._urls
        return {"RABBITMQ_URLS": ",".join(urls)} if len(urls) > 1 else {"RABBITMQ_URL": urls[0]}

    async def start(self) -> None:
        for proxy in self._proxies:
            await proxy.start()

    async def stop(self) -> None:
        for proxy in self._proxies:
            await proxy.stop()

    def refuse(self) -> None:
        for proxy in self._proxies:
            proxy.refuse()

    def cut(self) -> None:
        for proxy in self._proxies:
            proxy.cut()

    def stall(self) -> None:
        for proxy in self._proxies:
            proxy.stall()

    def drop(self, way: Way) -> None:
        for proxy in self._proxies:
            proxy.drop(way)

    def delay(self, seconds: float) -> None:
        for proxy in self._proxies:
            proxy.delay(seconds)

    def resume(self) -> None:
        for proxy in self._proxies:
            proxy.resume()
