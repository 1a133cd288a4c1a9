//! How large a character may be.

/// The largest file of a character, in bytes (16 MiB). Who reads a file needs to read one byte more
/// at most, to know that it is too large.
pub const CARD_BYTES_MAX: usize = 16 << 20;

/// The largest character in TOML, in bytes (1 MiB): people write it by hand, and its reader takes
/// many times its size.
pub const TOML_BYTES_MAX: usize = 1 << 20;

/// The longest single text, such as a description, in bytes (256 KiB).
pub const TEXT_BYTES_MAX: usize = 256 << 10;

/// How many greetings, tags, sources or assets there may be, of each.
pub const LIST_MAX: usize = 1_000;

/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 100;

/// How deep JSON may be nested.
pub const JSON_DEPTH_MAX: usize = 64;

/// How many values JSON may have. A value takes up to some 100 bytes of memory, whatever its text.
pub const JSON_VALUES_MAX: usize = 200_000;

/// How many chunks an image may have; a moving one of 16 MiB has some 2,000.
pub const CHUNKS_MAX: usize = 10_000;

/// How many entries a lorebook may have.
pub const LORE_ENTRIES_MAX: usize = 5_000;

/// How many keys an entry of a lorebook may have, of each kind: `keys`, `secondary_keys`, and those that
/// its decorators list.
pub const LORE_KEYS_MAX: usize = 256;

/// How many keys a lorebook may have in all: each is looked for in what is said.
pub const LORE_KEYS_IN_ALL_MAX: usize = 20_000;

/// The longest key, in bytes.
pub const LORE_KEY_BYTES_MAX: usize = 1_024;
