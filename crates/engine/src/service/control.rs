// SPDX-License-Identifier: Apache-2.0
//! The control socket: who may speak to the node, and one task for each that does.
use super::messages;
use super::state::Service;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use tidegate_net::{Accepted, FrameSocket, Listener};

/// Accepts on the listening socket that the supervisor bound; its file's permissions say who may
/// connect.
pub(crate) fn listen(
    service: Rc<Service>,
    socket: OwnedFd,
) -> io::Result<impl Future<Output = ()>> {
    let listener = Listener::new(socket)?;
    Ok(async move {
        loop {
            match poll_fn(|cx| listener.poll_accept(cx)).await {
                Accepted::Connection(stream, _) => {
                    let service = service.clone();
                    tokio::task::spawn_local(async move {
                        if let Ok(socket) = FrameSocket::new(stream.into_parts().0) {
                            serve(service, socket).await;
                        }
                    });
                }
                Accepted::Gone => {}
                Accepted::Exhausted(_) => {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    })
}

async fn serve(service: Rc<Service>, mut socket: FrameSocket) {
    while let Ok(Some(frame)) = socket.receive().await {
        let replies = messages::answer(&service, frame).await;
        for (reply, descriptors) in replies {
            let is_last_word = service.drain.is_over() && reply.get("drain").is_some();
            let borrowed: Vec<_> = descriptors.iter().map(std::os::fd::AsFd::as_fd).collect();
            if socket
                .send(reply.to_string().as_bytes(), &borrowed)
                .await
                .is_err()
            {
                return;
            }
            if is_last_word {
                service.drain.has_told();
            }
        }
    }
}
