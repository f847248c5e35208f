//! Webhooks: signed documents in, signed results out.
