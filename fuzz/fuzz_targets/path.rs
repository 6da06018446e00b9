//! Request targets: canonical form is total and idempotent, and what is kept in it brings no structure of its own.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::request::path::{CanonicalPath, Kept, MAX_TARGET, PathError};

fn read(target: &[u8], kept: Kept) -> Result<String, PathError> {
    CanonicalPath::parse_as(target, MAX_TARGET, kept).map(|path| path.path().to_owned())
}

fuzz_target!(|target: &[u8]| {
    let plain = read(target, Kept::default());
    if let Ok(once) = &plain {
        assert_eq!(read(once.as_bytes(), Kept::default()).as_ref(), Ok(once));
    }
    match read(target, Kept::ALL) {
        Err(_) => assert!(plain.is_err()),
        Ok(path) => {
            assert_eq!(read(path.as_bytes(), Kept::ALL).as_ref(), Ok(&path));
            // To those who read what is kept otherwise it is canonical, too.
            let opened = path.replace("%2F", "/");
            let stripped: Vec<_> = opened.split('/').map(|segment| segment.split(';').next()).collect();
            let stripped = stripped.into_iter().flatten().collect::<Vec<_>>().join("/");
            assert_eq!(read(stripped.as_bytes(), Kept::default()), Ok(stripped.clone()));
            assert_eq!(plain.is_ok(), Kept::of(&path).is_nothing());
        }
    }
});
