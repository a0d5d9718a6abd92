// SPDX-License-Identifier: Apache-2.0
use crate::{Attempts, Busy, Checker, Hashed, Known, credentials};
use std::net::IpAddr;
use std::sync::Arc;
use tidegate_core::Clock;

#[test]
fn passwords_are_told_by_their_hashes() {
    let text = "$pbkdf2-sha256$i=4096$c2FsdFNBTFRzYWx0U0FMVHNhbHRTQUxUc2FsdFNBTFRzYWx0$\
                NIyJ28vTKy8y2BS4EW6EzysXNH68GAAYHE4qH7jdU+E";
    let parsed = Hashed::parse(text).ok().unwrap();
    assert!(parsed.is_of(b"passwordPASSWORDpassword"));
    assert!(!parsed.is_of(b"passwordPASSWORDpasswor"));
    for wrong in [
        "secret",
        "",
        "$5$x$y",
        "$pbkdf2-sha256$i=1$c2FsdHNhbHQ$AAAA",
    ] {
        assert!(Hashed::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn hashes_that_take_memory_are_told_and_bounded() {
    // The reference implementation's, of `password` with `somesalt`.
    let text =
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let parsed = Hashed::parse(text).ok().unwrap();
    assert!(parsed.is_of(b"password"));
    assert!(!parsed.is_of(b"passwore"));
    let own = Hashed::make(b"geheim", *b"0123456789abcdef");
    assert!(own.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert!(Hashed::parse(&own).ok().unwrap().is_of(b"geheim"));
    let salt_and_hash = text.split_at(text.find("$c29t").unwrap()).1;
    for cost in [
        "$argon2id$v=19$m=4294967295,t=2,p=1",
        "$argon2id$v=19$m=262145,t=2,p=1",
        "$argon2id$v=19$m=19456,t=101,p=1",
        "$argon2id$v=19$m=19456,t=0,p=1",
        "$argon2id$v=19$m=64,t=2,p=16",
        "$argon2id$v=19$m=19456,t=2",
        "$argon2id$v=19$m=+9456,t=2,p=1",
        "$argon2id$v=16$m=19456,t=2,p=1",
        "$argon2i$v=19$m=19456,t=2,p=1",
        "$argon2id$m=19456,t=2,p=1",
    ] {
        assert!(
            Hashed::parse(&format!("{cost}{salt_and_hash}")).is_err(),
            "{cost}"
        );
    }
}

#[test]
fn credentials_are_read() {
    let read = |text: &str| credentials(text.as_bytes());
    assert_eq!(
        read("Basic YW5uYTpwOnc="),
        Some((b"anna".to_vec(), b"p:w".to_vec()))
    );
    assert_eq!(read("basic  YW5uYTo="), Some((b"anna".to_vec(), vec![])));
    for none in [
        "",
        "Basic",
        "Basic ",
        "Basic YW5uYQ==",
        "Bearer YW5uYTo=",
        "Basic %%%",
        "Basic YW5uYTo==",
        "Basic YW5uYTpwOnc==",
        "Basic YW5u YTo=",
    ] {
        assert_eq!(read(none), None, "{none}");
    }
}

#[test]
fn hashes_of_htpasswd_are_told_and_bounded() {
    // The reference implementation's, of `U*U`.
    let written = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    let parsed = Hashed::parse(written).ok().unwrap();
    assert!(parsed.is_of(b"U*U"));
    assert!(!parsed.is_of(b"U*V"));
    assert!(
        Hashed::parse(&written.replace("$2a$", "$2y$"))
            .ok()
            .unwrap()
            .is_of(b"U*U")
    );
    for wrong in [
        written.replace("$05$", "$03$"),
        written.replace("$05$", "$16$"),
        written.replace("$05$", "$5$"),
        written.replace("$05$", "$+5$"),
        written.replace("$2a$", "$2x$"),
        written.replace("eW", "e"),
        written.replace("eW", "e!"),
        "$apr1$salt$qMIZZyYCa1Z5gYKqfxaqu/".to_owned(),
        "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".to_owned(),
    ] {
        assert!(Hashed::parse(&wrong).is_err(), "{wrong}");
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_address_has_so_many_attempts_and_others_have_theirs() {
    let clock = Clock::fake();
    let attempts = Attempts::new(2, 60_000);
    let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
    assert_eq!(attempts.begin(one, clock.now()), Ok(()));
    assert_eq!(attempts.begin(one, clock.now()), Ok(()));
    clock.advance(500);
    assert_eq!(attempts.begin(one, clock.now()), Err(60));
    assert_eq!(attempts.begin(other, clock.now()), Ok(()));
    // What was right does not count.
    attempts.take_back(one);
    assert_eq!(attempts.begin(one, clock.now()), Ok(()));
    clock.advance(59_499);
    assert_eq!(attempts.begin(one, clock.now()), Err(1));
    clock.advance(1);
    assert_eq!(attempts.begin(one, clock.now()), Ok(()));
    assert_eq!(attempts.begin(one, clock.now()), Ok(()));
    assert_eq!(attempts.begin(one, clock.now()), Err(60));
}

#[test]
fn addresses_of_one_client_are_one() {
    let clock = Clock::fake();
    let attempts = Attempts::new(1, 1_000);
    assert!(attempts.begin(address("2001:db8::1"), clock.now()).is_ok());
    assert!(attempts.begin(address("2001:db8::2"), clock.now()).is_err());
    assert!(
        attempts
            .begin(address("2001:db8:0:1::1"), clock.now())
            .is_ok()
    );
    assert!(attempts.begin(address("192.0.2.1"), clock.now()).is_ok());
    assert!(
        attempts
            .begin(address("::ffff:192.0.2.1"), clock.now())
            .is_err()
    );
}

#[test]
fn the_table_of_attempts_does_not_grow_without_end() {
    let clock = Clock::fake();
    let attempts = Attempts::new(1, 60_000);
    for number in 0..100_000_u32 {
        let address = IpAddr::from(number.to_be_bytes());
        assert_eq!(attempts.begin(address, clock.now()), Ok(()));
    }
    assert!(attempts.len() <= 65_536);
}

#[test]
fn what_was_right_is_known_for_five_minutes() {
    let clock = Clock::fake();
    let known = Known::default();
    let digest = known.digest(b"anna", b"secret");
    assert!(!known.has(&digest, clock.now()));
    known.remember(digest, clock.now());
    assert!(known.has(&digest, clock.now()));
    // Where the name ends counts, and nobody can tell a digest beforehand.
    assert_ne!(known.digest(b"annas", b"ecret"), digest);
    assert_ne!(Known::default().digest(b"anna", b"secret"), digest);
    clock.advance(299_999);
    assert!(known.has(&digest, clock.now()));
    clock.advance(1);
    assert!(!known.has(&digest, clock.now()));
}

#[test]
fn who_comes_when_many_wait_is_told_to_come_again() {
    let cheap = "$pbkdf2-sha256$i=4096$c2FsdFNBTFRzYWx0U0FMVHNhbHRTQUxUc2FsdFNBTFRzYWx0$\
                 NIyJ28vTKy8y2BS4EW6EzysXNH68GAAYHE4qH7jdU+E";
    let hashed = Arc::new(Hashed::parse(cheap).ok().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let checker = Checker::default();
    let check = || checker.is_of(hashed.clone(), b"passwordPASSWORDpassword".to_vec());
    runtime.block_on(async {
        assert_eq!(check().await, Ok(true));
        assert_eq!(
            checker.is_of(hashed.clone(), b"x".to_vec()).await,
            Ok(false)
        );
        let mut waiting: Vec<_> = (0..64).map(|_| Box::pin(check())).collect();
        for each in &mut waiting {
            std::future::poll_fn(|context| {
                let _ = each.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
        }
        assert_eq!(check().await, Err(Busy));
        // Who leaves makes room.
        drop(waiting);
        assert_eq!(check().await, Ok(true));
    });
}
