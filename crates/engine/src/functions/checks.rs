// SPDX-License-Identifier: Apache-2.0
//! Health checks that are functions: the service thread's own calls.
use super::call::Call;
use super::link::Link;
use super::plan::{FunctionPlan, Seat};
use super::seats::Found;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tidegate_functions::{Body, INLINE, RequestParts, WorkerMessage};
use tokio::sync::Notify;

/// The largest answer of a check: a sentence for the log.
const MOST: usize = 4 << 10;
/// How often a worker that is not there is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The function workers as the service thread reaches them. Threads have connections of their own.
#[derive(Default)]
pub(crate) struct Checkers {
    links: RefCell<HashMap<String, Rc<Link>>>,
    changed: Rc<Notify>,
}

impl Checkers {
    /// Calls `function` with `body` and waits for its answer: a status, and what it says.
    ///
    /// Takes as long as it takes; dropping it cancels the call.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn ask(
        &self,
        function: &FunctionPlan,
        body: &[u8],
        limit: Duration,
    ) -> Result<(u16, Vec<u8>), &'static str> {
        let (link, _seat) = self.seat(function).await;
        let parts = RequestParts {
            method: "POST",
            scheme: "http",
            authority: "tidegate",
            path: "/",
            query: None,
            client: "127.0.0.1",
            route: "health_check",
            request_id: "00000000000000000000000000",
            function: &function.name,
            identity: "",
            is_http_1_0: false,
            deadline_ms: u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1),
            settings: 0,
        };
        if body.len() > INLINE {
            return Err("the call is too long");
        }
        let none = std::iter::empty::<(&[u8], &[u8])>;
        let call = link
            .begin(&parts, none(), none(), Body::Inline(body))
            .map_err(|_| "the call is too long")?;
        answer(&call).await
    }

    async fn seat(&self, function: &FunctionPlan) -> (Rc<Link>, Seat) {
        loop {
            // Listens before it looks.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Found::Seat(found) = function.take(|path| self.link(path)) {
                return found;
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// The connection to the worker at `path` once it takes calls; makes it if there is none.
    fn link(&self, path: &str) -> Option<Rc<Link>> {
        let mut links = self.links.borrow_mut();
        if let Some(link) = links.get(path).filter(|link| !link.is_finished()) {
            return Some(link.clone()).filter(|link| link.is_ready());
        }
        let link = Rc::new(Link::new(self.changed.clone()));
        links.insert(path.to_owned(), link.clone());
        tokio::task::spawn_local(link.drive(path.into()));
        None
    }

    /// Closes nothing that is wanted: forgets connections to workers for which `is_wanted` is false.
    pub(crate) fn retain(&self, is_wanted: impl Fn(&str) -> bool) {
        self.links.borrow_mut().retain(|path, link| {
            let stays = is_wanted(path);
            if !stays {
                link.close();
            }
            stays
        });
    }
}

async fn answer(call: &Call) -> Result<(u16, Vec<u8>), &'static str> {
    const FAILED: &str = "the check itself failed; its log says how";
    let first = next(call).await?;
    let Some(WorkerMessage::Respond {
        status,
        body,
        body_follows,
        ..
    }) = first.message()
    else {
        return Err(FAILED);
    };
    let mut whole = body.get(..MOST).unwrap_or(body).to_vec();
    let mut is_whole = !body_follows;
    while !is_whole && whole.len() < MOST {
        let said = next(call).await?;
        let Some(WorkerMessage::Body { bytes, is_last }) = said.message() else {
            return Err(FAILED);
        };
        let room = MOST - whole.len();
        whole.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        call.credit(bytes.len());
        is_whole = is_last;
    }
    Ok((status, whole))
}

async fn next(call: &Call) -> Result<super::call::Said, &'static str> {
    poll_fn(|cx| call.poll_next(cx))
        .await
        .map_err(|_| "the worker of the check ended in the middle of it")
}
