// SPDX-License-Identifier: Apache-2.0
use super::link::Link;
use crate::thread::Thread;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

thread_local! {
    /// A filter is shared by all threads and is handed an exchange only: this is how a policy finds
    /// the connections of the thread it runs on.
    static HERE: RefCell<Option<Rc<Here>>> = const { RefCell::new(None) };
}

/// The function workers as one thread reaches them.
pub(crate) struct Here {
    pub(crate) thread: Rc<Thread>,
    links: RefCell<HashMap<String, Rc<Link>>>,
}

/// Says which thread this is; once, before it serves anything.
pub(crate) fn enter(thread: &Rc<Thread>) {
    let here = Here {
        thread: thread.clone(),
        links: RefCell::default(),
    };
    HERE.with(|place| *place.borrow_mut() = Some(Rc::new(here)));
}

/// This thread; `None` where nothing is served.
pub(crate) fn here() -> Option<Rc<Here>> {
    HERE.with(|place| place.borrow().clone())
}

impl Here {
    /// The connection to the worker that listens at `path`, made if there is none that takes calls.
    pub(crate) fn link(self: &Rc<Self>, path: &str) -> Rc<Link> {
        let mut links = self.links.borrow_mut();
        if let Some(link) = links.get(path).filter(|link| link.is_open()) {
            return link.clone();
        }
        // One that is closing lives on in its task until its calls are over.
        let link = Rc::new(Link::default());
        links.insert(path.to_owned(), link.clone());
        tokio::task::spawn_local(link.clone().drive(path.into()));
        link
    }
}
