use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::broker::auth::authenticator::Authenticator;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users.json");
    (directory, path)
}

fn full() -> Authenticator {
    let auth = Authenticator::with_rounds(1);
    auth.add_credentials("root", "one", Role::Admin).unwrap();
    auth.add_credentials("u \u{e9}\"", "two", Role::User)
        .unwrap();
    auth.set_default_acl(DestinationType::Topic, Mode::Deny)
        .unwrap();
    for (kind, name, mode) in [
        (DestinationType::Queue, "q", Mode::Write),
        (DestinationType::Queue, "a/>", Mode::Deny),
        (DestinationType::Topic, "t", Mode::ReadWrite),
        (DestinationType::Function, "f", Mode::Execute),
    ] {
        auth.set_acl(kind, name, mode, "u \u{e9}\"").unwrap();
    }
    auth.allow_network("10.0.0.0/8").unwrap();
    auth.allow_network("::1").unwrap();
    auth
}

fn private(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[track_caller]
fn fault(path: &Path) -> FileFault {
    match Authenticator::load(path) {
        Err(AuthError::File { path: told, fault }) => {
            assert_eq!(told, path);
            fault
        }
        other => panic!("{other:?}"),
    }
}

/// F124, golden 8.
#[test]
fn what_is_stored_is_what_is_loaded() {
    let (_directory, path) = place();
    let auth = full();
    auth.store(&path).unwrap();
    let loaded = Authenticator::load(&path).unwrap();
    assert_eq!(loaded.users(), auth.users());
    assert_eq!(loaded.acls(), auth.acls());
    assert_eq!(loaded.networks(), ["10.0.0.0/8", "::1/128"]);
    for kind in DestinationType::ALL {
        assert_eq!(loaded.default_acl(kind), auth.default_acl(kind));
    }
    assert!(loaded.verify("root", "one") && !loaded.verify("root", "two"));
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("\"one\"") && text.contains("$pbkdf2-sha512$i=1$"));
    loaded.clear_credentials();
    loaded.reload(&path).unwrap();
    assert_eq!(loaded.users().len(), 2);
}

/// W14.
#[test]
fn a_stored_file_is_the_owners_alone_and_replaces_the_old_one_as_a_whole() {
    let (directory, path) = place();
    fs::write(&path, "something else").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let reader = File::open(&path).unwrap();
    full().store(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let mut old = String::new();
    (&reader).read_to_string(&mut old).unwrap();
    assert_eq!(old, "something else", "who has it open sees no half file");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_store_that_fails_leaves_nothing_behind() {
    let (directory, path) = place();
    fs::create_dir(&path).unwrap();
    assert!(full().store(&path).is_err());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let missing = directory.path().join("missing/users.json");
    assert!(full().store(&missing).is_err());
}

#[test]
fn a_file_that_others_may_use_is_refused() {
    let (_directory, path) = place();
    full().store(&path).unwrap();
    for mode in [0o640, 0o604, 0o660, 0o602, 0o610, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(fault(&path), FileFault::Exposed(mode));
    }
    for mode in [0o600, 0o400] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Authenticator::load(&path).unwrap();
    }
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let (directory, path) = place();
    assert_eq!(fault(&path), FileFault::Missing);
    assert_eq!(fault(directory.path()), FileFault::Unusable);
    private(&path, "{\n  \"authorizations\": oops\n}");
    assert!(matches!(fault(&path), FileFault::Malformed { line: 2, .. }));
    private(&path, "{}");
    match fault(&path) {
        FileFault::Malformed { reason, .. } => assert!(reason.contains("authorizations")),
        other => panic!("{other:?}"),
    }
    private(&path, b"\xff");
    assert!(matches!(fault(&path), FileFault::Content(_)));
    private(&path, "[".repeat(1 << 20));
    assert!(matches!(fault(&path), FileFault::Malformed { .. }));
    private(&path, "");
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(LONGEST + 1).unwrap();
    assert_eq!(fault(&path), FileFault::Unusable);
}

#[test]
fn content_that_cannot_be_is_refused_and_changes_nothing() {
    let (_directory, path) = place();
    let auth = full();
    auth.store(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    for (good, bad, told) in [
        ("$pbkdf2-sha512$", "$md5$", "scheme"),
        ("$i=1$", "$i=99999999$", "rounds"),
        ("\"WRITE\"", "\"EXECUTE\"", "mode"),
        ("\"READ_WRITE\"", "\"FLY\"", "mode"),
        ("\"10.0.0.0/8\"", "\"10.0.0.0/88\"", "network"),
        ("\"a/>\"", "\"a>\"", "a>"),
        ("\"principal\": \"root\"", "\"principal\": \" \"", "name"),
    ] {
        assert!(text.contains(good), "{good}");
        private(&path, text.replacen(good, bad, 1));
        match fault(&path) {
            FileFault::Content(reason) => assert!(reason.contains(told), "{reason}"),
            other => panic!("{bad}: {other:?}"),
        }
        assert!(auth.reload(&path).is_err());
        assert_eq!(auth.users().len(), 2);
    }
    private(&path, text.replacen("\"admin\"", "\"adnim\"", 1));
    assert!(matches!(fault(&path), FileFault::Malformed { line: 6, .. }));
}
