//! A store's file page by page, read without redb.
//!
//! redb trusts what a page says: over one that is damaged it may panic, go in circles or end the process,
//! and one bad page keeps it from the rest of its table. Here nothing is trusted before it is proven, every
//! access is bounded, and what is beside a bad page is read.
//!
//! The format is that of redb's files in version 3, as its `docs/design.md` has it. Each page is proven by a
//! checksum that the page above it holds, and the first one by the commit that is in the file's header.
//!
//! | a page | is read |
//! |---|---|
//! | that is proven | as it is |
//! | that has one flipped bit in its head, where a proven page leads | with that bit put right: its checksum tells that this is how it was |
//! | that is damaged otherwise, where a proven page leads | as far as its parts can be proven: pages beneath it by their checksums, and entries by their seals |
//! | that is damaged, where a damaged page or an earlier commit leads | not at all: it may be any page of the file, also of another table or time |

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::schema::ABOUT_NAME;

/// The length of the smallest pages, in bytes, and of the header, which lies before the first.
const PAGE_LEN: u64 = 4_096;

/// How many of them a region has.
const REGION_PAGES: u64 = 1 << 20;

/// Pages have this power of two times that length at most: 128 MiB, in which the largest value has room.
const ORDER_MAX: u64 = 15;

/// How deep a tree may be. One of four thousand million pages has half of that, if each has two beneath it.
const DEPTH_MAX: usize = 64;

/// How long an entry is at least, in bytes: where its key and its value end, and its seal.
const ENTRY_LEN_MIN: u64 = 12;

/// So many pages may be read in a walk beyond those that the file has.
const READS_SPARE: u64 = 10_000;

/// The byte of the header whose lowest bit says which commit is the last.
const LAST_COMMIT_AT: usize = 9;

/// Where the two commits are described in the header, and in how many bytes each.
const COMMITS_AT: usize = 64;
const COMMIT_LEN: usize = 128;

const FILE_VERSION: u8 = 3;
const LEAF: u8 = 1;
const BRANCH: u8 = 2;

/// A table that has one value for each key.
const PLAIN_TABLE: u8 = 3;

/// The length of a checksum, and of the number of a page, in bytes.
const CHECKSUM_LEN: usize = 16;
const NUMBER_LEN: usize = 8;

/// How many bytes of a page say of which kind it is and how much it has.
const HEAD_LEN: usize = 4;

/// The file.
pub(super) struct Pages {
    file: File,
    len: u64,
}

/// A walk through a tree.
struct Walk<'a> {
    pages: &'a Pages,
    /// Pages that are damaged are read too, where they may be.
    is_lenient: bool,
    /// How many pages may still be read.
    reads_left: u64,
}

/// What was found in a walk through a tree.
pub(super) enum Found<'a> {
    /// A page of entries.
    Leaf {
        leaf: Leaf<'a>,
        /// It is as it was written.
        is_proven: bool,
    },
    /// A page that cannot be read, with all that is beneath it.
    Lost,
}

/// The tables of a store.
#[derive(Default)]
pub(super) struct TableList {
    /// By their names.
    pub(super) tables: BTreeMap<String, TableRoot>,
    /// They are all that there were in the last commit, each as it was then.
    pub(super) is_whole: bool,
}

/// A table, as the list of tables has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TableRoot {
    /// How many entries it has, as it says.
    pub(super) entries: u64,
    /// That number is proven.
    pub(super) is_counted: bool,
    /// Where its tree begins, if it has entries.
    root: Option<Pointer>,
    /// It is as the last commit left it.
    is_current: bool,
}

/// Where a page lies, and what proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pointer {
    number: u64,
    checksum: u128,
}

/// What tells a commit from another that changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head(Pointer);

/// What a commit left.
struct Commit {
    /// Where the list of tables begins.
    list: Pointer,
    /// Each has a higher one than those before.
    number: u64,
    /// It is proven what it left.
    is_proven: bool,
    /// It is the last.
    is_last: bool,
}

impl Pages {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }

    /// Where the list of tables begins that counts by the file's own word, and that of the commit before. What is
    /// said there need not be so: it is where two openings are compared.
    pub(super) fn heads(&self) -> io::Result<[Option<Head>; 2]> {
        let header = self.bytes(0, PAGE_LEN)?;
        let head = |slot: usize| {
            let from = COMMITS_AT + slot * COMMIT_LEN;
            Commit::read(header.get(from..from + COMMIT_LEN)?).map(|commit| Head(commit.list))
        };
        let last = header.get(LAST_COMMIT_AT).map_or(0, |byte| usize::from(byte & 1));
        Ok([head(last), head(1 - last)])
    }

    /// The tables that can be found. One that a damaged page tells of is to be known by its name: under another,
    /// nobody would ever look into it again.
    pub(super) fn tables(&self, is_known: fn(&str) -> bool) -> io::Result<TableList> {
        let mut list = TableList::default();
        for commit in self.commits()? {
            let is_whole = self.add_tables(&commit, is_known, &mut list.tables)?;
            if is_whole {
                // What an earlier commit has besides was changed since.
                list.is_whole = commit.is_last;
                break;
            }
        }
        Ok(list)
    }

    /// Walks through a table, in the order of its keys.
    pub(super) fn walk<E: From<io::Error>>(
        &self,
        table: TableRoot,
        visit: &mut dyn FnMut(Found<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match table.root {
            Some(root) => self.begin_walk(table.is_current).go(root, true, DEPTH_MAX, visit),
            None => Ok(()),
        }
    }

    fn begin_walk(&self, is_lenient: bool) -> Walk<'_> {
        Walk { pages: self, is_lenient, reads_left: self.len / PAGE_LEN + READS_SPARE }
    }

    /// The last commit and the one before; first those of which it is proven what they left.
    fn commits(&self) -> io::Result<Vec<Commit>> {
        let header = self.bytes(0, PAGE_LEN)?;
        let slot = |slot: usize| {
            let from = COMMITS_AT + slot * COMMIT_LEN;
            Commit::read(header.get(from..from + COMMIT_LEN)?)
        };
        let last = match (slot(0), slot(1)) {
            (Some(one), Some(other)) if one.is_proven && other.is_proven => {
                usize::from(other.number > one.number)
            }
            _ => header.get(LAST_COMMIT_AT).map_or(0, |byte| usize::from(byte & 1)),
        };
        let mut commits = Vec::new();
        for at in [last, 1 - last] {
            let Some(mut commit) = slot(at) else { continue };
            // What is said of it may be damaged elsewhere than there.
            commit.is_proven |= is_proven(&self.page(commit.list)?, commit.list.checksum);
            commit.is_last = at == last;
            commits.push(commit);
        }
        commits.sort_by_key(|commit| !commit.is_proven);
        Ok(commits)
    }

    /// Adds the tables of a commit that are not known yet; whether these are certainly all.
    fn add_tables(
        &self,
        commit: &Commit,
        is_known: fn(&str) -> bool,
        tables: &mut BTreeMap<String, TableRoot>,
    ) -> io::Result<bool> {
        let (mut found, mut is_whole) = (Vec::new(), true);
        let mut visit = |it: Found<'_>| {
            let Found::Leaf { leaf, is_proven } = it else {
                is_whole = false;
                return Ok::<_, io::Error>(());
            };
            is_whole &= is_proven;
            let all = leaf.entries().map(|entry| TableRoot::read(entry?));
            found.extend(all.map(|table| (table, is_proven)));
            Ok(())
        };
        let mut walk = self.begin_walk(commit.is_last);
        walk.go::<io::Error>(commit.list, commit.is_proven, DEPTH_MAX, &mut visit)?;
        for (table, is_proven) in found {
            let Some((name, table)) = table else {
                is_whole = false;
                continue;
            };
            let is_one = name == ABOUT_NAME || is_known(&name);
            if is_proven || (is_one && self.has_proven_root(table)?) {
                let entries = table.entries.min(self.len / ENTRY_LEN_MIN);
                let is_current = commit.is_last;
                let table = TableRoot { entries, is_counted: is_proven, is_current, ..table };
                tables.entry(name).or_insert(table);
            }
        }
        Ok(is_whole)
    }

    /// Whether what is said of a table proves itself.
    fn has_proven_root(&self, table: TableRoot) -> io::Result<bool> {
        match table.root {
            Some(root) => Ok(is_proven(&self.page(root)?, root.checksum)),
            None => Ok(table.entries == 0),
        }
    }

    /// A page; nothing if there can be none. Of one that is cut off by the end of the file what is there.
    fn page(&self, at: Pointer) -> io::Result<Vec<u8>> {
        match at.place() {
            Some((from, len)) => self.bytes(from, len),
            None => Ok(Vec::new()),
        }
    }

    fn bytes(&self, from: u64, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let len = len.min(self.len.saturating_sub(from));
        if len == 0 {
            // A damaged page may lead to where no file can reach, which the system refuses.
            return Ok(bytes);
        }
        let mut file = &self.file;
        file.seek(SeekFrom::Start(from))?;
        file.take(len).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Walk<'_> {
    /// `is_led_to` says that a page leads here that is proven.
    fn go<E: From<io::Error>>(
        &mut self,
        at: Pointer,
        is_led_to: bool,
        depth_left: usize,
        visit: &mut dyn FnMut(Found<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.reads_left == 0 || depth_left == 0 {
            return visit(Found::Lost);
        }
        self.reads_left -= 1;
        let mut page = self.pages.page(at)?;
        let is_mendable = is_led_to && self.is_lenient;
        let is_proven =
            is_proven(&page, at.checksum) || (is_mendable && mend_head(&mut page, at.checksum));
        let is_read = is_proven || is_mendable;
        match Node::of(&page).filter(|_| is_read) {
            Some(Node::Leaf(leaf)) => visit(Found::Leaf { leaf, is_proven }),
            Some(Node::Branch(branch)) => {
                for child in branch.children() {
                    match child {
                        Some(child) => self.go(child, is_proven, depth_left - 1, visit)?,
                        None => visit(Found::Lost)?,
                    }
                }
                Ok(())
            }
            None => visit(Found::Lost),
        }
    }
}

impl Commit {
    /// `None` if there was none, one that has no tables, or one of another format.
    fn read(bytes: &[u8]) -> Option<Self> {
        const HAS_LIST_AT: usize = 1;
        const LIST_AT: usize = 8;
        const NUMBER_AT: usize = 104;
        let (said, checksum) = bytes.split_at_checked(COMMIT_LEN - CHECKSUM_LEN)?;
        let is_proven = u128_at(checksum, 0) == Some(xxh3_128(said));
        let is_known = said.first() == Some(&FILE_VERSION) && said.get(HAS_LIST_AT) != Some(&0);
        let list = Pointer::read(said, LIST_AT, LIST_AT + NUMBER_LEN)?;
        let number = u64_at(said, NUMBER_AT)?;
        (is_known || !is_proven).then_some(Self { list, number, is_proven, is_last: false })
    }
}

impl TableRoot {
    /// `None` if an entry of the list of tables makes no sense.
    fn read((name, said): (&[u8], &[u8])) -> Option<(String, Self)> {
        const ENTRIES_AT: usize = 1;
        const HAS_ROOT_AT: usize = 9;
        const ROOT_AT: usize = 10;
        let name = str::from_utf8(name).ok()?.to_owned();
        if said.first() != Some(&PLAIN_TABLE) {
            return None;
        }
        let entries = u64_at(said, ENTRIES_AT)?;
        let root = match said.get(HAS_ROOT_AT)? {
            0 => None,
            _ => Some(Pointer::read(said, ROOT_AT, ROOT_AT + NUMBER_LEN)?),
        };
        Some((name, Self { entries, is_counted: false, root, is_current: false }))
    }
}

impl Pointer {
    fn read(bytes: &[u8], number_at: usize, checksum_at: usize) -> Option<Self> {
        let (number, checksum) = (u64_at(bytes, number_at)?, u128_at(bytes, checksum_at)?);
        Some(Self { number, checksum })
    }

    /// Where the page begins in the file, and how long it is, in bytes; `None` if there is none so large.
    fn place(self) -> Option<(u64, u64)> {
        let order = self.number >> 59;
        let index = self.number & ((REGION_PAGES - 1) >> order);
        let region = (self.number >> 20) & (REGION_PAGES - 1);
        let len = PAGE_LEN << order;
        let from = PAGE_LEN + region * REGION_PAGES * PAGE_LEN + index * len;
        (order <= ORDER_MAX).then_some((from, len))
    }
}

/// Whether a page is as it was written.
fn is_proven(page: &[u8], checksum: u128) -> bool {
    let used = Node::of(page).and_then(|node| page.get(..node.len()?));
    used.is_some_and(|used| xxh3_128(used) == checksum)
}

/// Puts right a flipped bit in the head of a page, if it is then as it was written; whether it is. That bit would
/// cost all that is in the page.
fn mend_head(page: &mut [u8], checksum: u128) -> bool {
    (0..8 * HEAD_LEN.min(page.len())).any(|bit| {
        page[bit / 8] ^= 1 << (bit % 8);
        let is_mended = is_proven(page, checksum);
        if !is_mended {
            page[bit / 8] ^= 1 << (bit % 8);
        }
        is_mended
    })
}

/// A page, as it says of itself. Nothing of it needs to make sense.
enum Node<'a> {
    Leaf(Leaf<'a>),
    Branch(Branch<'a>),
}

impl<'a> Node<'a> {
    fn of(page: &'a [u8]) -> Option<Self> {
        let count = usize::from(u16::from_le_bytes(*page.get(2..)?.first_chunk()?));
        match *page.first()? {
            _ if count == 0 => None,
            LEAF => Some(Self::Leaf(Leaf { page, count })),
            BRANCH => Some(Self::Branch(Branch { page, keys: count })),
            _ => None,
        }
    }

    /// How much of the page it takes, in bytes. Only that much is proven by its checksum.
    fn len(&self) -> Option<usize> {
        match self {
            Self::Leaf(leaf) => leaf.end(2 * leaf.count - 1),
            Self::Branch(branch) => {
                let ends_at = 8 + (CHECKSUM_LEN + NUMBER_LEN) * (branch.keys + 1);
                u32_at(branch.page, ends_at + 4 * (branch.keys - 1))
            }
        }
    }
}

/// A page of entries: first where each of its keys and then of its values ends, and then these themselves.
#[derive(Clone, Copy)]
pub(super) struct Leaf<'a> {
    page: &'a [u8],
    /// How many entries. Not 0.
    count: usize,
}

impl<'a> Leaf<'a> {
    /// Its entries, in order; `None` for those that cannot be there.
    pub(super) fn entries(self) -> impl Iterator<Item = Option<(&'a [u8], &'a [u8])>> {
        (0..self.count).map(move |entry| Some((self.part(entry)?, self.part(self.count + entry)?)))
    }

    /// A key or, behind all keys, a value.
    fn part(self, number: usize) -> Option<&'a [u8]> {
        let from = match number.checked_sub(1) {
            Some(before) => self.end(before)?,
            None => 4 + 4 * 2 * self.count,
        };
        self.page.get(from..self.end(number)?)
    }

    fn end(self, number: usize) -> Option<usize> {
        u32_at(self.page, 4 + 4 * number)
    }
}

/// A page that leads to others: first their checksums, then their numbers, then the keys between them.
#[derive(Clone, Copy)]
struct Branch<'a> {
    page: &'a [u8],
    /// How many keys. Not 0; there is one page more.
    keys: usize,
}

impl<'a> Branch<'a> {
    /// The pages beneath it, in order; `None` for those that cannot be there.
    fn children(self) -> impl Iterator<Item = Option<Pointer>> {
        let count = self.keys + 1;
        let numbers_at = 8 + CHECKSUM_LEN * count;
        (0..count).map(move |child| {
            let number_at = numbers_at + NUMBER_LEN * child;
            Pointer::read(self.page, number_at, 8 + CHECKSUM_LEN * child)
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let number = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
    usize::try_from(number).ok()
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u128_at(bytes: &[u8], at: usize) -> Option<u128> {
    Some(u128::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
