//! The HTTP clients that all models of the process share.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Client, Url, redirect::Policy};

use crate::error::ChatError;

/// A server that does not take the connection by then is down, whatever is left of the deadline.
const CONNECT: Duration = Duration::from_secs(5);
/// Idle connections are dropped before most servers drop them.
const IDLE: Duration = Duration::from_secs(50);

/// Two clients, made when they are needed: one that speaks TLS, and one that does not and so needs no certificates.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    secure: Mutex<Option<Client>>,
    plain: Mutex<Option<Client>>,
}

impl Clients {
    pub fn for_url(&self, url: &Url) -> Result<Client, ChatError> {
        let is_secure = url.scheme() == "https";
        let place = if is_secure { &self.secure } else { &self.plain };
        let mut made = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*made {
            return Ok(client.clone());
        }
        let client = build(is_secure)?;
        *made = Some(client.clone());
        Ok(client)
    }
}

fn build(is_secure: bool) -> Result<Client, ChatError> {
    // The provider is chosen once for the process; whoever was first has chosen the same or a better one.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _: Result<(), Arc<rustls::crypto::CryptoProvider>> =
            rustls::crypto::ring::default_provider().install_default();
    }
    let builder = Client::builder()
        .user_agent(concat!("vestibule/", env!("CARGO_PKG_VERSION")))
        // A redirect would carry a record to a server that nobody named.
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .tcp_nodelay(true);
    let builder = if is_secure { builder } else { builder.tls_certs_only([]) };
    builder.build().map_err(|error| ChatError::Client(error.without_url()))
}
