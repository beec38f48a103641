//! What every answer carries, and who may ask.
//!
//! The page is served on loopback without a password, so two things must hold: no other page in the same browser
//! may read it (DNS rebinding: the Host header must be a loopback name), and nothing that a tenant wrote may run in
//! it (the content security policy allows our own files only).

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};

use super::ApiError;

/// Own files only; no inline script or style, no frames, no forms.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Adds the security headers to every answer of a router.
pub(super) fn with_headers(router: Router) -> Router {
    router.layer(middleware::map_response(async |mut response: Response| {
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
            (header::CACHE_CONTROL, "no-store"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }))
}

/// Answers only requests that name a loopback host: for servers bound to loopback.
#[must_use]
pub fn loopback_only(router: Router) -> Router {
    router.layer(middleware::from_fn(async |request: Request, next: Next| {
        if host(request.headers()).is_some_and(is_loopback) {
            next.run(request).await
        } else {
            ApiError::ForeignHost.into_response()
        }
    }))
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether a request comes from the page itself: its Origin is the host that it asks. A browser always sends one
/// with a POST; other clients that leave it out are not what the check is against, yet are refused too.
pub(super) fn same_origin(headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|o| o.to_str().ok());
    let (Some(origin), Some(host)) = (origin, host(headers)) else { return false };
    origin.split_once("://").is_some_and(|(scheme, rest)| matches!(scheme, "http" | "https") && rest == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names() {
        for yes in ["127.0.0.1:8080", "localhost", "localhost:1", "[::1]:80", "127.9.9.9"] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in ["evil.example:80", "10.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::2]:80"] {
            assert!(!is_loopback(no), "{no}");
        }
    }

    #[test]
    fn origin_must_be_the_host() {
        let headers = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:9"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            headers
        };
        assert!(same_origin(&headers(Some("http://127.0.0.1:9"))));
        for no in
            [None, Some("null"), Some("http://127.0.0.1:8"), Some("http://evil.example"), Some("file://127.0.0.1:9")]
        {
            assert!(!same_origin(&headers(no)), "{no:?}");
        }
    }
}
