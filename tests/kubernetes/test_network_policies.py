"""Who may talk to whom: exactly this."""

from __future__ import annotations

from collections.abc import Iterator

from tests.kubernetes.manifests import NAME, Document, Manifests

ANYWHERE = "anywhere"
POSTGRES, RABBITMQ, MAIL = (5432,), (5671, 5672), {"production": (25, 465, 587), "development": (1025,)}
FRONT_DOOR = {"production": "namespace ingress-nginx", "development": ANYWHERE}

# Pods of ours among themselves: from, to, port.
KEYS = ("users", "auth", 8000)
INSIDE = {
    *(("gateway", pod, 8000) for pod in ("auth", "users", "portal")),
    *(("portal", pod, 8000) for pod in ("auth", "users")),
    KEYS,
}

Way = tuple[str, str, int]


def _peers(rule: Document, key: str) -> list[str]:
    if key not in rule:
        return [ANYWHERE]
    return [_peer(each) for each in rule[key]]


def _peer(peer: Document) -> str:
    assert not peer.keys() - {"podSelector", "namespaceSelector"}, peer
    pods = peer.get("podSelector", {}).get("matchLabels", {})
    if "namespaceSelector" not in peer:
        assert set(pods) == {NAME}
        return str(pods[NAME])
    (namespace,) = peer["namespaceSelector"]["matchLabels"].values()
    return " ".join(["namespace", namespace, *pods.values()])


def _ways(manifests: Manifests, policy: Document, direction: str) -> Iterator[Way]:
    for pod in manifests.selected(policy["spec"]["podSelector"].get("matchLabels", {})):
        for rule in policy["spec"].get(direction, []):
            for peer in _peers(rule, "from" if direction == "ingress" else "to"):
                for port in rule["ports"]:
                    yield (peer, pod, port["port"]) if direction == "ingress" else (pod, peer, port["port"])


def ways(manifests: Manifests, direction: str) -> set[Way]:
    """From, to, port. Policies add up."""
    return {way for policy in manifests.all("NetworkPolicy") for way in _ways(manifests, policy, direction)}


def test_what_no_policy_names_is_refused_both_ways(manifests: Manifests) -> None:
    spec = manifests.one("NetworkPolicy", "nothing-else")["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_pods_accept_exactly_what_they_are_for(manifests: Manifests) -> None:
    monitored = {("namespace monitoring", pod, 9000) for pod in ("auth", "users", "notifier", "portal")}
    front_door = {(FRONT_DOOR[manifests.overlay], "gateway", 8080)}
    assert ways(manifests, "ingress") == INSIDE | monitored | front_door


def test_pods_reach_exactly_what_they_need(manifests: Manifests) -> None:
    servers = {
        "auth": POSTGRES + RABBITMQ,
        "users": POSTGRES + RABBITMQ,
        "notifier": RABBITMQ + MAIL[manifests.overlay],
        "migrate": POSTGRES,
    }
    outside = {(pod, ANYWHERE, port) for pod, ports in servers.items() for port in ports}
    names = {(pod, "namespace kube-system kube-dns", 53) for pod in manifests.pods()}
    # With REQUIRE_TLS at the Ingress: auth itself speaks none.
    public_keys = {("users", ANYWHERE, 443)} if manifests.overlay == "production" else {KEYS}
    assert ways(manifests, "egress") == INSIDE - {KEYS} | public_keys | outside | names


def test_names_are_asked_for_by_both_protocols(manifests: Manifests) -> None:
    (rule,) = manifests.one("NetworkPolicy", "names")["spec"]["egress"]
    assert {(port["port"], port["protocol"]) for port in rule["ports"]} == {(53, "UDP"), (53, "TCP")}


def test_every_policy_is_about_pods_that_exist_and_ports_that_they_have(manifests: Manifests) -> None:
    for policy in manifests.all("NetworkPolicy"):
        assert manifests.selected(policy["spec"]["podSelector"].get("matchLabels", {}))
    for _, pod, port in ways(manifests, "ingress"):
        assert port in manifests.container(pod).ports.values()


def test_the_mail_port_in_the_settings_is_one_that_may_be_used(manifests: Manifests) -> None:
    settings = manifests.environment(manifests.container("notifier"))
    assert int(settings["SMTP_PORT"]) in MAIL[manifests.overlay]
