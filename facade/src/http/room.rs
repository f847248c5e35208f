//! Room for bodies: how many bytes of them this process holds at once, over all connections.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::config::Limits;

/// A body of unknown length takes its room in steps of so many bytes.
const STEP: usize = 64 * 1024;

/// The room of a process. All bodies share it, first come, first served.
#[derive(Debug, Clone)]
pub struct Room {
    bytes: Arc<Semaphore>,
    /// Of the bodies whose length nobody knows, one may grow past the room: if all of them held a part and waited for
    /// the rest, none would ever end.
    growing: Arc<Semaphore>,
}

/// What one body holds of the room; free again when it is dropped.
#[derive(Debug)]
pub struct Share {
    room: Room,
    held: usize,
    taken: Option<OwnedSemaphorePermit>,
    growing: Option<OwnedSemaphorePermit>,
}

/// No room came free in time.
#[derive(Debug, PartialEq, Eq)]
pub struct NoRoom;

/// A body with its share, for as long as anybody keeps a part of it.
struct Held {
    body: Bytes,
    _share: Share,
}

impl Room {
    /// As much room as the limits say: at least enough for one body of the longest length.
    pub fn new(limits: &Limits) -> Self {
        let bytes = limits.in_flight.max(limits.body).min(Semaphore::MAX_PERMITS);
        Self { bytes: Arc::new(Semaphore::new(bytes)), growing: Arc::new(Semaphore::new(1)) }
    }

    /// Room for a body of this length, once there is some. A length of 0 takes none yet.
    pub async fn share(&self, length: usize, within: Duration) -> Result<Share, NoRoom> {
        let mut share = Share { room: self.clone(), held: 0, taken: None, growing: None };
        if length > 0 {
            let count = u32::try_from(length).map_err(|_| NoRoom)?;
            let taking = Arc::clone(&self.bytes).acquire_many_owned(count);
            share.add(timeout(within, taking).await.map_err(|_| NoRoom)?.map_err(|_| NoRoom)?);
        }
        Ok(share)
    }
}

impl Share {
    /// Makes the share large enough for a body that is so long by now, and may become `longest`.
    pub async fn grow(&mut self, length: usize, longest: usize, within: Duration) -> Result<(), NoRoom> {
        if length <= self.held || self.growing.is_some() {
            return Ok(());
        }
        let wanted = length.checked_next_multiple_of(STEP).unwrap_or(length).min(longest).max(length);
        let count = u32::try_from(wanted - self.held).map_err(|_| NoRoom)?;
        let bytes = Arc::clone(&self.room.bytes);
        if let Ok(permit) = Arc::clone(&bytes).try_acquire_many_owned(count) {
            self.add(permit);
            return Ok(());
        }
        let growing = Arc::clone(&self.room.growing);
        let waiting = async {
            // Cancel-safe: who stops waiting loses only the place in the line.
            tokio::select! {
                Ok(permit) = bytes.acquire_many_owned(count) => (Some(permit), None),
                Ok(permit) = growing.acquire_owned() => (None, Some(permit)),
                // Neither semaphore is ever closed.
                else => (None, None),
            }
        };
        match timeout(within, waiting).await {
            Ok((Some(permit), _)) => self.add(permit),
            Ok((None, Some(permit))) => self.growing = Some(permit),
            Ok((None, None)) | Err(_) => return Err(NoRoom),
        }
        Ok(())
    }

    /// The body, which gives its room back when the last part of it is dropped.
    pub fn keep(self, body: Bytes) -> Bytes {
        if body.is_empty() { body } else { Bytes::from_owner(Held { body, _share: self }) }
    }

    fn add(&mut self, permit: OwnedSemaphorePermit) {
        self.held += permit.num_permits();
        match &mut self.taken {
            Some(taken) => taken.merge(permit),
            None => self.taken = Some(permit),
        }
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(30);

    fn room(in_flight: usize, body: usize) -> Room {
        Room::new(&Limits { in_flight, body, ..Limits::default() })
    }

    #[tokio::test]
    async fn a_body_holds_its_room_until_the_last_part_of_it_is_dropped() {
        let room = room(10, 10);
        let body = room.share(6, SOON).await.unwrap().keep(Bytes::from_static(b"abcdef"));
        let part = body.slice(2..3);
        assert!(room.share(5, SOON).await.is_err(), "4 of 10 are left");
        assert!(room.share(4, SOON).await.is_ok());
        drop(body);
        assert!(room.share(5, SOON).await.is_err(), "a part is kept");
        drop(part);
        assert!(room.share(10, SOON).await.is_ok());
    }

    #[tokio::test]
    async fn one_body_of_the_longest_length_always_fits() {
        assert!(room(1, 100).share(100, SOON).await.is_ok());
    }

    #[tokio::test]
    async fn bodies_of_unknown_length_never_wait_for_each_other_without_end() {
        let room = room(2 * STEP, 2 * STEP);
        let mut shares = [room.share(0, SOON).await.unwrap(), room.share(0, SOON).await.unwrap()];
        for share in &mut shares {
            share.grow(1, 2 * STEP, SOON).await.unwrap();
        }
        let [mut one, mut other] = shares;
        assert_eq!(one.grow(STEP + 1, 2 * STEP, SOON).await, Ok(()), "the room is full, but one may go on");
        assert_eq!(other.grow(STEP + 1, 2 * STEP, SOON).await, Err(NoRoom));
        drop(one);
        assert_eq!(other.grow(STEP + 1, 2 * STEP, SOON).await, Ok(()));
    }
}
