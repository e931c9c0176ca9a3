//! Messages between two processes on a Unix socket: a length of 4 bytes (big endian), so many bytes
//! of text, and file descriptors beside them (`unix(7)`, `SCM_RIGHTS`).

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::{io::Interest, net::UnixStream};

/// Descriptors that one message can carry.
pub(super) const MAX_DESCRIPTORS: usize = 8;
/// The longest text of one message.
pub(super) const MAX_TEXT_BYTES: usize = 1 << 20;

/// Sends a message, `timeout` at most.
pub(super) async fn send(
    stream: &UnixStream,
    text: &str,
    descriptors: &[BorrowedFd<'_>],
    timeout: Duration,
) -> io::Result<()> {
    if text.len() > MAX_TEXT_BYTES || descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too much for one message"));
    }
    let mut bytes = (text.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    in_time(timeout, async {
        // The descriptors go with the first byte.
        let mut sent = send_some(stream, &bytes, descriptors).await?;
        while sent < bytes.len() {
            sent += send_some(stream, &bytes[sent..], &[]).await?;
        }
        Ok(())
    })
    .await
}

/// Receives a message, `timeout` at most.
pub(super) async fn receive(
    stream: &UnixStream,
    timeout: Duration,
) -> io::Result<(String, Vec<OwnedFd>)> {
    let malformed = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    in_time(timeout, async {
        let mut descriptors = Vec::new();
        let mut length = [0; 4];
        receive_exact(stream, &mut length, &mut descriptors).await?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_TEXT_BYTES {
            return Err(malformed("a message too long"));
        }
        let mut text = vec![0; length];
        receive_exact(stream, &mut text, &mut descriptors).await?;
        let text = String::from_utf8(text).map_err(|_| malformed("a message that is no text"))?;
        Ok((text, descriptors))
    })
    .await
}

async fn in_time<T>(timeout: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("nothing in {timeout:?}"));
    tokio::time::timeout(timeout, step).await.map_err(late)?
}

async fn send_some(
    stream: &UnixStream,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let send = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            let fits = beside.push(SendAncillaryMessage::ScmRights(descriptors));
            assert!(fits, "there is space for {MAX_DESCRIPTORS}");
        }
        Ok(sendmsg(stream, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)?)
    };
    stream.async_io(Interest::WRITABLE, send).await
}

async fn receive_exact(
    stream: &UnixStream,
    mut buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<()> {
    while !buffer.is_empty() {
        let received = receive_some(stream, buffer, descriptors).await?;
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if descriptors.len() > MAX_DESCRIPTORS {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too many descriptors"));
        }
        buffer = &mut buffer[received..];
    }
    Ok(())
}

async fn receive_some(
    stream: &UnixStream,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let receive = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(buffer)];
        let received = recvmsg(stream, &mut slices, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        Ok(received.bytes)
    };
    stream.async_io(Interest::READABLE, receive).await
}
