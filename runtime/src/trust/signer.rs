//! Who has signed the certificate of this node. It is asked first for the next one: nobody else of a
//! household can sign.

use std::path::Path;

use genii_protocols::NodeName;

use super::TrustError;
use super::folder::Folder;

/// The file, with the name alone.
const FILE: &str = "signed-by";

/// Who it was, if that is known.
pub fn read(folder: &Path) -> Option<NodeName> {
    let text = Folder::at(folder).read(FILE).ok().flatten()?;
    NodeName::new(text.trim()).ok()
}

/// Remembers who it was.
///
/// # Errors
/// When it cannot be written.
pub fn write(folder: &Path, node: &NodeName) -> Result<(), TrustError> {
    Folder::at(folder).write(FILE, &format!("{node}\n"))
}
