//! What goes wrong between Vestibule and a broker, and what may be done about it.

use std::{error::Error, io, sync::Arc, time::Duration};

use lapin::ErrorKind;
use vestibule_core::fault::{Fault, FaultCode, Recovery};

/// How long a message rests that waits for an operator: for a queue, an exchange or a permission.
const OPERATORS_PACE: Duration = Duration::from_secs(60);

/// Something that a broker did not do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AmqpError {
    /// The time is over.
    #[error("the broker did not answer in time ({doing})")]
    Late {
        /// What was asked for.
        doing: &'static str,
    },
    /// The connection is gone, or there was none.
    #[error("the connection to the broker failed ({doing})")]
    Lost {
        /// What was asked for.
        doing: &'static str,
        /// What happened.
        #[source]
        source: lapin::Error,
    },
    /// The broker sent something that the client library can not read.
    #[error(
        "the broker sent a message that can not be read: a property or header name of it is not UTF-8, or damaged"
    )]
    Unreadable(#[source] lapin::Error),
    /// The certificates do not fit.
    #[error("TLS with the broker failed: check `ca`, `cert`, `key` and the host's name")]
    Tls(#[source] Arc<io::Error>),
    /// User, password, virtual host or permission.
    #[error(
        "the broker refuses access ({doing}): check the user, its password, the virtual host and the user's permissions"
    )]
    Refused {
        /// What was asked for.
        doing: &'static str,
        /// What the broker said.
        #[source]
        source: lapin::Error,
    },
    /// There is no such queue or exchange.
    #[error("{what} is not there: create it, or let the mapping say `declare: yes`")]
    Missing {
        /// Which.
        what: String,
        /// What the broker said.
        #[source]
        source: lapin::Error,
    },
    /// It is there, and not as it is asked for.
    #[error(
        "{what} is there with other properties than asked for: delete it, or change the mapping, or leave `declare` out"
    )]
    Different {
        /// Which.
        what: String,
        /// What the broker said.
        #[source]
        source: lapin::Error,
    },
    /// A message that the broker does not take, whatever is tried.
    #[error("the broker does not take a message like this one")]
    NotTaken(#[source] lapin::Error),
    /// The broker is short of memory or disk, and takes nothing from publishers.
    #[error("the broker takes no messages for now: it is short of memory or disk")]
    Blocked,
    /// There is no queue for it.
    #[error("the broker returned the message: no queue is bound for it")]
    Unroutable,
    /// The queue could not keep it.
    #[error("the broker could not keep the message (negative confirm)")]
    Nacked,
    /// Others of the same window came to no conclusion, so nothing is known of this one.
    #[error("the broker did not confirm the message")]
    Unconfirmed,
    /// No more documents come this way.
    #[error("the broker ended the subscription: the queue was deleted, or moved to another broker")]
    Cancelled,
    /// A name that AMQP can not carry.
    #[error("the address is not one that AMQP can carry: {0}")]
    Address(&'static str),
}

impl AmqpError {
    /// What the library said while it did this, to `what` where that was one queue or exchange.
    pub(crate) fn new(error: lapin::Error, doing: &'static str, what: Option<String>) -> Self {
        let reply = match error.kind() {
            ErrorKind::ProtocolError(reply) => reply.get_id(),
            ErrorKind::ParsingError(_) => return Self::Unreadable(error),
            ErrorKind::IOError(io) if is_about_tls(io) => return Self::Tls(Arc::clone(io)),
            ErrorKind::SerialisationError(_) => return Self::NotTaken(error),
            _ => return Self::Lost { doing, source: error },
        };
        match (reply, what) {
            // ACCESS_REFUSED, NOT_ALLOWED: the latter for a virtual host.
            (403 | 530, _) => Self::Refused { doing, source: error },
            (404, Some(what)) => Self::Missing { what, source: error },
            (406, Some(what)) => Self::Different { what, source: error },
            (311 | 406 | 501, None) => Self::NotTaken(error),
            _ => Self::Lost { doing, source: error },
        }
    }

    /// What the library said while a message was published to this exchange.
    pub(crate) fn of_publishing(error: lapin::Error, exchange: &str) -> Self {
        let reply = match error.kind() {
            ErrorKind::ProtocolError(reply) => Some(reply.get_id()),
            _ => None,
        };
        let what = (reply == Some(404)).then(|| format!("the exchange `{exchange}`"));
        Self::new(error, "publishing", what)
    }

    /// What may be done about it.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Tls(_)
            | Self::Refused { .. }
            | Self::Missing { .. }
            | Self::Different { .. }
            | Self::NotTaken(_)
            | Self::Address(_) => Recovery::GiveUp,
            Self::Late { .. }
            | Self::Lost { .. }
            | Self::Unreadable(_)
            | Self::Blocked
            | Self::Unroutable
            | Self::Nacked
            | Self::Unconfirmed
            | Self::Cancelled => Recovery::Retry,
        }
    }

    /// True where the fault is the channel's or the message's and the connection still stands.
    pub(crate) fn is_of_one_channel(&self) -> bool {
        match self {
            Self::Refused { source, .. }
            | Self::Missing { source, .. }
            | Self::Different { source, .. }
            | Self::NotTaken(source) => source.is_amqp_soft_error(),
            _ => false,
        }
    }

    /// As a fault of a source: no document could be received.
    pub(crate) fn of_source(self) -> Fault {
        let recovery = self.recovery();
        Fault::new(FaultCode::Unavailable, self.to_string()).recovery(recovery).because(self)
    }

    /// As a fault of a returner: one thing could not be sent. What an operator can mend is tried again, for a result is
    /// worth waiting for.
    pub(crate) fn of_parcel(self) -> Fault {
        let recovery = match &self {
            Self::NotTaken(_) | Self::Address(_) => Recovery::GiveUp,
            it if it.recovery() == Recovery::GiveUp => Recovery::RetryAfter(OPERATORS_PACE),
            it => it.recovery(),
        };
        Fault::new(FaultCode::Undeliverable, self.to_string()).recovery(recovery).because(self)
    }
}

/// A certificate that is not trusted will not be trusted in a second.
fn is_about_tls(error: &io::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(it) = cause {
        if it.is::<rustls::Error>() {
            return true;
        }
        // An I/O error hides what it wraps from `source`.
        let wrapped = it.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if wrapped.is_some_and(|it| it.is::<rustls::Error>()) {
            return true;
        }
        cause = it.source();
    }
    false
}
