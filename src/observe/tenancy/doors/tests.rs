use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

#[test]
fn an_address_that_no_pod_has_is_not_dialled() {
    for text in [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fe80::1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ] {
        assert_eq!(inside(Address::Own(text.parse().unwrap())), None, "{text}");
    }
    assert_eq!(inside(Address::Node), None);
    assert_eq!(inside(Address::None), None);
    for ip in [IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7))] {
        assert_eq!(inside(Address::Own(ip)), Some(ip));
    }
    assert_eq!(inside(Address::Own("::ffff:10.1.2.3".parse().unwrap())), Some(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3))));
}
