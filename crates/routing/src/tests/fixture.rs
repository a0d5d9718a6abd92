// SPDX-License-Identifier: Apache-2.0
//! A route as tests and the benchmark begin with.
use tidegate_config::{
    Admission, Internal, InternalPage, Match, Millis, PathKind, PathMatch, Retries, Route,
    RouteTimeouts, Target,
};

/// A route for every host with this path.
pub(crate) fn route(kind: PathKind, path: &str) -> Route {
    Route {
        listeners: vec![],
        hosts: vec![],
        matches: Match {
            path: PathMatch {
                kind,
                value: path.into(),
            },
            methods: vec![],
            headers: vec![],
            query: vec![],
            cookies: vec![],
            clients: vec![],
            local_addresses: vec![],
        },
        policies: vec![],
        to: Target::Internal(Internal {
            page: InternalPage::Health,
        }),
        rewrite: None,
        timeouts: RouteTimeouts {
            request: None,
            first_byte: None,
            upgraded_idle: Millis(1),
            upgraded_life: None,
        },
        retries: Retries {
            attempts: 0,
            methods: vec![],
            statuses: vec![],
            grpc_statuses: vec![],
        },
        body_size: None,
        buffer_request: None,
        mirror: None,
        try_files: None,
        media_types: Vec::new(),
        websocket: None,
        web: None,
        clients: Admission {
            allow: Vec::new(),
            deny: Vec::new(),
        },
        error_pages: vec![],
        maintenance: None,
    }
}
