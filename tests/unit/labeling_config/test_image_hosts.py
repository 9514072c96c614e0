"""An address that Label Studio names is followed to a named host, at a checked IP address."""

from __future__ import annotations

import pytest

from data.errors import InvalidInputError, ServiceUnavailableError
from labeling_config.image_hosts import ImageHost, addresses_of, destination, read_image_hosts

CLOUD = "bucket.s3.example.org"
PUBLIC = "93.184.216.34"


def follow(url: str, hosts: str = CLOUD, ips: tuple[str, ...] = (PUBLIC,)) -> tuple[str, int, str]:
    """Returns host, port and first IP address where every name leads to `ips`."""
    to = destination(url, read_image_hosts(hosts), lambda host, port: list(ips))
    return to.host, to.port, to.ips[0]


def test_hosts_are_read_with_ports_and_private_ones() -> None:
    assert read_image_hosts(" a.example.org, B.example.org:9000 ,private:minio:9000,") == (
        ImageHost("a.example.org"),
        ImageHost("b.example.org", 9000),
        ImageHost("minio", 9000, private=True),
    )


def test_no_host_is_named_unless_somebody_does() -> None:
    assert read_image_hosts("") == ()


@pytest.mark.parametrize(
    "text",
    ["https://a.example.org", "a/b", "a b", "*.example.org", "a:0", "a:65536", "a:x", "private:"],
)
def test_what_is_no_host_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"CARPAL_IMAGE_HOSTS: .* is no host name"):
        read_image_hosts(text)


@pytest.mark.parametrize(
    ("url", "hosts", "expected"),
    [
        (f"https://{CLOUD}/k?sig=1", CLOUD, (CLOUD, 443, PUBLIC)),
        (f"HTTPS://{CLOUD.upper()}/k", CLOUD, (CLOUD, 443, PUBLIC)),
        (f"https://{CLOUD}:443/k", CLOUD, (CLOUD, 443, PUBLIC)),
        (f"https://{CLOUD}:9000/k", f"{CLOUD}:9000", (CLOUD, 9000, PUBLIC)),
        (f"https://{CLOUD}/k", f"a.example.org,{CLOUD}", (CLOUD, 443, PUBLIC)),
    ],
    ids=["name", "capitals", "ordinary port", "named port", "second of two"],
)
def test_a_named_host_is_followed(url: str, hosts: str, expected: tuple[str, int, str]) -> None:
    assert follow(url, hosts) == expected


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://elsewhere.example.org/k", "elsewhere.example.org"),
        (f"https://{CLOUD}:9000/k", f"{CLOUD}:9000"),
        (f"https://a.{CLOUD}/k", f"a.{CLOUD}"),
        (f"https://{CLOUD}./k", f"{CLOUD}."),
        (f"https://{CLOUD}.evil.example/k", f"{CLOUD}.evil.example"),
        ("https://2130706433/k", "2130706433"),
        ("https://[::1]/k", "::1"),
    ],
    ids=["foreign", "other port", "below it", "dot", "prefix", "number", "IPv6"],
)
def test_another_host_is_not_followed_and_named(url: str, shown: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        follow(url)

    assert str(caught.value).endswith(f"unless CARPAL_IMAGE_HOSTS names {shown}.")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        f"ftp://{CLOUD}/k",
        f"s3://{CLOUD}/k",
        "/user/login/",
        "//",
        "https://",
        f"https://{CLOUD}:99999/k",
        f"https://user:password@{CLOUD}/k",
        f"https://evil.example\\@{CLOUD}/k",
        f"https://{CLOUD}/k\r\nX: y",
        f"https://{CLOUD}\t/k",
        "https://[::1/k",
        "",
    ],
)
def test_what_is_no_plain_web_address_is_not_followed(url: str) -> None:
    with pytest.raises(InvalidInputError, match="no web address"):
        follow(url)


INWARD = [
    "127.0.0.1",
    "10.1.2.3",
    "172.30.77.10",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fd00::1",
    "::ffff:127.0.0.1",
    "64:ff9b::10.1.2.3",
    "2002:0a01:0203::1",
]


@pytest.mark.parametrize("ip", INWARD)
def test_a_host_that_leads_into_a_private_network_must_be_named_so(ip: str) -> None:
    with pytest.raises(InvalidInputError, match=f"names private:{CLOUD}"):
        follow(f"https://{CLOUD}/k", ips=(PUBLIC, ip))

    assert follow(f"https://{CLOUD}/k", f"private:{CLOUD}", (PUBLIC, ip)) == (CLOUD, 443, PUBLIC)


@pytest.mark.parametrize("ip", ["169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1"])
@pytest.mark.parametrize("prefix", ["", "private:"])
def test_some_addresses_are_never_asked(ip: str, prefix: str) -> None:
    with pytest.raises(InvalidInputError, match="never asked"):
        follow(f"https://{CLOUD}/k", prefix + CLOUD, (ip,))


def test_a_host_is_asked_without_https_on_this_machine_alone() -> None:
    url = "http://cloud.test:9000/k"

    assert follow(url, "private:cloud.test:9000", ("127.0.0.1",)) == (
        "cloud.test",
        9000,
        "127.0.0.1",
    )
    with pytest.raises(InvalidInputError, match="not asked without https"):
        follow(url, "private:cloud.test:9000", ("10.1.2.3",))


def test_a_name_that_is_not_known_is_an_error_that_may_pass() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError("Name or service not known")

    with pytest.raises(ServiceUnavailableError, match=f"The host {CLOUD} of the image"):
        destination(f"https://{CLOUD}/k", [ImageHost(CLOUD)], unknown)


def test_this_machine_has_an_address() -> None:
    assert "127.0.0.1" in addresses_of("localhost", 80)
