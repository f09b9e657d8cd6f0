//! Attachments into files: `FOLDER/<message id>/<name>`, new files only.
//!
//! Whoever sends a message chooses the names of its attachments. A message has a folder of its own, so that its files are in
//! nobody's way, and no file that is there is written: the same bytes are left as they are, others are refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use attestation::message::{Attachment, MessageId};

use crate::bounded_file::read_found;
use crate::durable::{self, Readers};
use crate::receipt_file::allowed_path;
use crate::report::{Failure, Result};

/// Writes the attachments of a message below `folder`, and answers their files, in order.
pub(crate) fn save(folder: &Path, id: MessageId, attachments: &[Attachment]) -> Result<Vec<PathBuf>> {
    if attachments.is_empty() {
        return Ok(Vec::new());
    }
    let own = folder.join(id.to_string());
    if own.symlink_metadata().is_ok_and(|there| !there.is_dir()) {
        return Err(Failure::new(format!("`{}` is no folder", own.display()))
            .because("the attachments of a message go into a folder of their own")
            .hint("move it away, or save elsewhere: --save DIR"));
    }
    durable::create_folder(&own, Readers::Owner)?;
    let named = file_names(attachments).into_iter().zip(attachments);
    named.map(|(name, attachment)| save_one(own.join(name), &attachment.content)).collect()
}

/// The names of the files, in order: as names are written that all systems can have (on Windows `con` is a device). A name
/// that is too long so, or is another's where case does not count, gives way to the attachment's number: no sender can
/// choose names that cannot be saved.
fn file_names(attachments: &[Attachment]) -> Vec<PathBuf> {
    let wanted = |attachment: &Attachment| allowed_path(Path::new(&attachment.name));
    let folded = |name: &Path| name.to_string_lossy().to_lowercase();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut fits = |name: &Path| name.as_os_str().len() <= MAX_NAME_BYTES && taken.insert(folded(name));
    let kept: Vec<Option<PathBuf>> =
        attachments.iter().map(|attachment| Some(wanted(attachment)).filter(|name| fits(name))).collect();
    let mut number = |at: usize| {
        let mut names = (1..).map(|more| PathBuf::from(format!("attachment{}{}", "-".repeat(more), at + 1)));
        names.find(|name| fits(name)).expect("a few names are taken, and these do not end")
    };
    kept.into_iter().enumerate().map(|(at, name)| name.unwrap_or_else(|| number(at))).collect()
}

fn save_one(path: PathBuf, content: &[u8]) -> Result<PathBuf> {
    if durable::write_new(&path, content, Readers::Owner)? || is_same(&path, content) {
        return Ok(path);
    }
    Err(Failure::new(format!("`{}` is there already, and is another file", path.display()))
        .because("attachments are new files: none that is there is overwritten")
        .hint("move it away, or save elsewhere: --save DIR"))
}

/// Whether an earlier run saved it. A link or a pipe is never it.
fn is_same(path: &Path, content: &[u8]) -> bool {
    let is_file = path.symlink_metadata().is_ok_and(|there| there.is_file());
    is_file && read_found(path, content.len() as u64).is_ok_and(|bytes| bytes == content)
}

/// Of a file's name, beside which a temporary one stands that is longer by a few.
const MAX_NAME_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(name: &str, content: &[u8]) -> Attachment {
        Attachment { content: content.to_vec(), content_type: "text/plain".into(), name: name.into() }
    }

    const ID: MessageId = MessageId::from_bytes([0xab; 16]);

    #[test]
    fn what_is_saved_is_new_or_the_same() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("mail");
        assert!(save(&folder, ID, &[]).expect("nothing to do").is_empty() && !folder.exists());
        let both = [attachment("a.txt", b"one"), attachment("b", b"")];
        let files = save(&folder, ID, &both).expect("saved");
        let own = folder.join("ab".repeat(16));
        assert_eq!(files, [own.join("a.txt"), own.join("b")]);
        assert_eq!(save(&folder, ID, &both).expect("the same again"), files);
        for other in [&b"two!"[..], b"on"] {
            let failure = save(&folder, ID, &[attachment("a.txt", other)]).expect_err("another file");
            assert!(failure.to_string().contains("is there already"), "{failure}");
        }
        assert_eq!(std::fs::read(&files[0]).expect("left alone"), b"one");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
            assert_eq!((mode(&files[0]), mode(&own)), (0o600, 0o700));
        }
    }

    /// Names that the rules of a message admit, and that lead somewhere on some system.
    #[test]
    fn no_name_leaves_the_folder_or_is_a_device() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["con", "NUL.txt", "a?b", "a*b", "x.", "~", "$(id)", "`id`", "a\u{202e}b"] {
            assert!(attestation::message::is_attachment_name(name), "{name}");
            let files = save(dir.path(), ID, &[attachment(name, name.as_bytes())]).expect("saved");
            assert_eq!(files[0].parent(), Some(&*dir.path().join("ab".repeat(16))), "{name}");
        }
        assert!(dir.path().join("ab".repeat(16)).join("%63on").exists(), "not the device");
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1);
    }

    /// What a sender chose cannot keep a mailbox from being read and deleted.
    #[test]
    fn every_name_that_a_message_may_have_can_be_saved() {
        let dir = tempfile::tempdir().expect("a folder");
        let long = "?".repeat(128);
        let names = ["a?", "a%3F", "A%3f", &long, "attachment-2", "attachment-4", "e\u{301}"];
        assert!(names.iter().all(|name| attestation::message::is_attachment_name(name)));
        let all: Vec<Attachment> = names.iter().map(|name| attachment(name, name.as_bytes())).collect();
        let files = save(dir.path(), ID, &all).expect("saved");
        let own = dir.path().join("ab".repeat(16));
        let want = ["a%3F", "attachment--2", "attachment-3", "attachment--4", "attachment-2", "attachment-4"];
        assert_eq!(files[..6], want.map(|name| own.join(name)));
        for (file, name) in files.iter().zip(names) {
            assert_eq!(std::fs::read(file).expect("a file"), name.as_bytes());
        }
        assert_eq!(save(dir.path(), ID, &all).expect("the same again"), files);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_is_there_is_not_followed() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().expect("a folder");
        let (folder, victim) = (dir.path().join("mail"), dir.path().join("victim"));
        std::fs::write(&victim, b"mine").expect("written");
        std::fs::create_dir_all(folder.join("ab".repeat(16))).expect("a folder");
        symlink(&victim, folder.join("ab".repeat(16)).join("a")).expect("a link");
        for content in [&b"theirs"[..], b"mine"] {
            save(&folder, ID, &[attachment("a", content)]).expect_err("a link is there");
        }
        let other = dir.path().join("other");
        std::fs::create_dir(&other).expect("a folder");
        symlink(dir.path(), other.join("ab".repeat(16))).expect("a link");
        save(&other, ID, &[attachment("b", b"x")]).expect_err("the folder is a link");
        assert_eq!(std::fs::read(&victim).expect("left alone"), b"mine");
        assert!(!dir.path().join("b").exists());
    }
}
