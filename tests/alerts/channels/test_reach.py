"""Which addresses are public, and that a channel's sockets connect to no other address."""

import socket

import pytest

from tracker.alerts.channels.reach import guarded, masked, public
from tracker.errors import ChannelError


@pytest.mark.parametrize(
    "ip",
    [
        "93.184.215.14",
        "198.20.0.1",
        "2606:4700::6810:85e5",
        "2003::1",
        "::ffff:93.184.215.14",
        "64:ff9b::93.184.215.14",
        "2002:5db8:d70e::1",  # 6to4 of 93.184.215.14
    ],
)
def test_public_addresses(ip):
    assert public(ip)


@pytest.mark.parametrize(
    "ip",
    [
        # IPv4
        "0.0.0.0",
        "0.1.2.3",  # this network, RFC 791
        "10.1.2.3",
        "100.64.0.1",  # carriers' NAT, RFC 6598
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.1",
        "192.0.0.9",  # the nearest PCP server, RFC 7723
        "192.0.0.170",  # NAT64 discovery, RFC 7050
        "192.0.2.1",
        "192.88.99.1",  # the nearest 6to4 relay, RFC 7526
        "192.168.1.1",
        "198.18.0.1",  # benchmarks, RFC 2544
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        # IPv6
        "::",
        "::1",
        "::127.0.0.1",  # IPv4-compatible, RFC 4291
        "::93.184.215.14",
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
        "::ffff:0:127.0.0.1",  # IPv4-translated, RFC 2765
        "::ffff:0:93.184.215.14",
        "64:ff9b::127.0.0.1",  # NAT64, RFC 6052
        "64:ff9b::10.1.2.3",
        "64:ff9b:1::1",  # local NAT64, RFC 8215
        "64:ff9b:1:fffe::7f00:1",
        "100::1",  # discarded, RFC 6666
        "2001::1",  # Teredo, RFC 4380
        "2001:0:5db8:d70e:0:0:80ff:fffe",
        "2001:2::1",  # benchmarks, RFC 5180
        "2001:20::1",  # ORCHIDv2, RFC 7343
        "2001:db8::1",
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        "2002:c058:6301::1",  # 6to4 of 192.88.99.1
        "3fff::1",  # documentation, RFC 9637
        "3fff:fff::1",
        "4000::1",  # not allocated
        "5f00::1",  # SRv6, RFC 9602
        "fc00::1",
        "fd00::1",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1%eth0",  # public, but with an interface
        "fec0::1",  # site-local, RFC 3879
        "ff02::1",
        "ff0e::1",
        # no numbers
        "",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "<broadcast>",
    ],
)
def test_addresses_that_are_not_public(ip):
    assert not public(ip)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()


def reach(how, address):
    """Connects or sends to ``address``, in the way ``how``."""
    kind = socket.SOCK_DGRAM if how in ("sendto", "sendmsg") else socket.SOCK_STREAM
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, kind) as sock:
        match how:
            case "connect":
                sock.connect(address)
            case "connect_ex":
                sock.connect_ex(address)
            case "sendto":
                sock.sendto(b"x", address)
            case "sendmsg":
                sock.sendmsg([b"x"], [], 0, address)


@pytest.mark.parametrize("how", ["connect", "connect_ex", "sendto", "sendmsg"])
def test_no_way_of_a_socket_leads_to_a_private_address(listener, how):
    for host in ("127.0.0.1", "localhost"):
        with guarded(allow_private=False), pytest.raises(PermissionError):
            reach(how, (host, listener[1]))
        with guarded(allow_private=True):
            reach(how, (host, listener[1]))
    reach(how, listener)


def test_no_socket_of_this_machine_is_reached(tmp_path):
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        with guarded(allow_private=False), pytest.raises(PermissionError):
            reach("connect", path)


def test_only_what_an_address_made_fail_is_refused_for_good(listener):
    with pytest.raises(ChannelError) as failure, guarded(allow_private=False):
        raise ChannelError("did not answer in time")
    assert (str(failure.value), failure.value.permanent) == ("did not answer in time", False)

    with pytest.raises(ChannelError) as failure, guarded(allow_private=False):
        with pytest.raises(PermissionError):
            reach("connect", listener)
        raise ChannelError("could not be reached")
    assert "allow_private = true" in str(failure.value) and failure.value.permanent


def test_parts_of_a_url_are_masked_as_they_are_and_unquoted():
    url = "https://user:pa%24%24word@hooks.example/T0K3N%2Babc?key=K3Y12345"
    said = "no pa$$word, pa%24%24word, T0K3N+abc, T0K3N%2Babc, K3Y12345 at https://"
    assert masked(said, url) == "no ***, ***, ***, ***, *** at https://"
