//! In front of every request: whom the browser thinks it talks to, who asks, and whether a word
//! comes from our own page. And on every answer: what a browser may do with it.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::answer::Problem;
use super::{App, Shared, same_secret};
use crate::metrics::{REQUESTS, refused};

pub const SESSION_COOKIE: &str = "gannet_session";
/// A header that a page of another origin cannot send without asking first, which is never granted.
pub const CLIENT_HEADER: &str = "x-gannet-client";

pub async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    metrics::counter!(REQUESTS).increment(1);
    let is_asset = request.uri().path().starts_with("/assets/");
    let mut response = match admit(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(answer) => *answer,
    };
    secure(response.headers_mut(), is_asset);
    response
}

fn admit(app: &Shared, request: &Request) -> Result<(), Box<Response>> {
    let headers = request.headers();
    let path = request.uri().path();
    let is_api = path.starts_with("/api/");
    let deny = |reason, status, why: &str| {
        refused(reason);
        Err(Box::new(Problem::new(status, why).into_response()))
    };
    if !is_our_name(app, headers) {
        let why = "this console does not answer to that name: use its address, or add the name to \
                   console.hosts";
        return deny("host", StatusCode::MISDIRECTED_REQUEST, why);
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && !is_same_origin(headers) {
        let why = "a word must come from this console's own page";
        return deny("origin", StatusCode::FORBIDDEN, why);
    }
    let is_public = path.starts_with("/assets/") || path == "/login" || path == "/-/healthy";
    if is_public || is_known(app, headers) {
        return Ok(());
    }
    refused("token");
    let answer = match is_api || changes {
        true => {
            let why = "log in, or send `Authorization: Bearer` with the configured token";
            let mut answer = Problem::new(StatusCode::UNAUTHORIZED, why).into_response();
            let bearer = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
            answer
        }
        false => Redirect::to("/login").into_response(),
    };
    Err(Box::new(answer))
}

fn text<'a>(headers: &'a HeaderMap, name: impl header::AsHeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A page of another site whose name was pointed at our address would come with its own name: only
/// addresses, localhost and configured names are ours.
fn is_our_name(app: &Shared, headers: &HeaderMap) -> bool {
    let Some(host) = text(headers, header::HOST) else {
        // HTTP/1.0, or a request made within a test.
        return true;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    let is_named = app.config.hosts.iter().any(|known| known.eq_ignore_ascii_case(name));
    is_address || is_named || name.eq_ignore_ascii_case("localhost")
}

fn is_same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = text(headers, "sec-fetch-site") {
        return site == "same-origin";
    }
    match (text(headers, header::ORIGIN), text(headers, header::HOST)) {
        // No browser: those send at least the origin with what changes something.
        (None, _) => true,
        (Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, name)| name.eq_ignore_ascii_case(host))
        }
        (Some(_), None) => false,
    }
}

fn is_known(app: &Shared, headers: &HeaderMap) -> bool {
    let (Some(token), Some(session)) = (&app.config.token, &app.session) else {
        return true;
    };
    is_bearer(headers, &token.0) || has_cookie(headers, session)
}

fn is_bearer(headers: &HeaderMap, token: &str) -> bool {
    let given = text(headers, header::AUTHORIZATION).and_then(|text| text.strip_prefix("Bearer "));
    given.is_some_and(|given| same_secret(given.trim(), token))
}

fn has_cookie(headers: &HeaderMap, session: &str) -> bool {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('='));
    let mut ours = pairs.filter(|(name, _)| name.trim() == SESSION_COOKIE);
    ours.any(|(_, value)| same_secret(value.trim(), session))
}

/// Whether a program's word is not a browser's on behalf of another site.
pub fn is_program(headers: &HeaderMap) -> bool {
    headers.contains_key(CLIENT_HEADER) || headers.contains_key(header::AUTHORIZATION)
}

fn secure(headers: &mut HeaderMap, is_asset: bool) {
    let mut put = |name: header::HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    put(
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; \
         object-src 'none'",
    );
    put(header::X_FRAME_OPTIONS, "DENY");
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(header::REFERRER_POLICY, "no-referrer");
    put(header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    put(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    // Assets of another version under the same name must not be taken for these.
    put(header::CACHE_CONTROL, if is_asset { "no-cache" } else { "no-store" });
}
