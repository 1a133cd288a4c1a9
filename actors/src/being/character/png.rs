//! The character in a PNG: text chunks, read and written without looking at the picture.
//!
//! Nothing is ever unpacked, so no image can be a bomb: what is read is as large as its file.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::error::CharacterError;
use super::limits::{CARD_BYTES_MAX, CHUNKS_MAX};

/// What every PNG begins with.
pub(super) const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];

/// The chunk of a card of V3.
const CCV3: &str = "ccv3";

/// The chunk of a card of V1 or V2.
const CHARA: &str = "chara";

/// Length, type and checksum of a chunk, in bytes.
const FRAME_LEN: usize = 12;

/// Some programs leave the padding away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A part of an image.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    kind: [u8; 4],
    data: &'a [u8],
    /// With its frame.
    whole: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// The keyword of a text chunk, if it is one that holds a character.
    fn keyword(&self) -> Option<&'static str> {
        if !matches!(&self.kind, b"tEXt" | b"zTXt" | b"iTXt") {
            return None;
        }
        let end = self.data.iter().position(|byte| *byte == 0)?;
        let keyword = &self.data[..end];
        // Some programs write `Chara`.
        [CCV3, CHARA].into_iter().find(|known| keyword.eq_ignore_ascii_case(known.as_bytes()))
    }

    /// What follows the keyword.
    fn value(&self) -> &'a [u8] {
        let end = self.data.iter().position(|byte| *byte == 0);
        end.map_or(&self.data[..0], |end| &self.data[end + 1..]).trim_ascii()
    }
}

/// The bytes of the JSON in an image: those of `ccv3` when both chunks are there, as V3 demands.
pub(super) fn card_bytes(image: &[u8]) -> Result<Vec<u8>, CharacterError> {
    let (chunks, _) = chunks(image)?;
    for keyword in [CCV3, CHARA] {
        if let Some(chunk) = only_one(&chunks, keyword)? {
            let decoded = BASE64.decode(chunk.value());
            return decoded.map_err(|source| CharacterError::Base64 { keyword, source });
        }
    }
    Err(CharacterError::PngNoCard)
}

/// The same image with this card in place of those that it holds.
pub(super) fn with_card(image: &[u8], is_v3: bool, card: &str) -> Result<Vec<u8>, CharacterError> {
    let (chunks, trailer) = chunks(image)?;
    let mut out = Vec::with_capacity(image.len() + card.len() / 3 * 4 + 64);
    out.extend_from_slice(&SIGNATURE);
    for chunk in &chunks {
        if &chunk.kind == b"IEND" {
            put_text(&mut out, if is_v3 { CCV3 } else { CHARA }, card);
        }
        if chunk.keyword().is_none() {
            out.extend_from_slice(chunk.whole);
        }
    }
    out.extend_from_slice(trailer);
    match out.len() {
        bytes if bytes > CARD_BYTES_MAX => Err(CharacterError::TooLarge { bytes }),
        _ => Ok(out),
    }
}

/// All chunks up to the last, and what stands behind it.
fn chunks(image: &[u8]) -> Result<(Vec<Chunk<'_>>, &[u8]), CharacterError> {
    if image.len() > CARD_BYTES_MAX {
        return Err(CharacterError::TooLarge { bytes: image.len() });
    }
    if !image.starts_with(&SIGNATURE) {
        let remedy = "give an image in the PNG format";
        return Err(CharacterError::Foreign { what: "no PNG", remedy });
    }
    let mut found: Vec<Chunk<'_>> = Vec::new();
    let mut offset = SIGNATURE.len();
    loop {
        if found.len() == CHUNKS_MAX {
            return Err(CharacterError::PngTooManyChunks);
        }
        let chunk = chunk_at(image, offset)?;
        if found.is_empty() && &chunk.kind != b"IHDR" {
            return Err(CharacterError::PngNoHeader);
        }
        offset += chunk.whole.len();
        found.push(chunk);
        if &chunk.kind == b"IEND" {
            return Ok((found, &image[offset..]));
        }
    }
}

fn chunk_at(image: &[u8], offset: usize) -> Result<Chunk<'_>, CharacterError> {
    let rest = &image[offset..];
    let Some((head, _)) = rest.split_first_chunk::<8>() else {
        let what = if rest.is_empty() { "the chunks: IEND is missing" } else { "a chunk" };
        return Err(CharacterError::PngCutOff { offset: image.len(), what });
    };
    let [a, b, c, d, kind @ ..] = *head;
    let declared = u32::from_be_bytes([a, b, c, d]);
    let left = rest.len().saturating_sub(FRAME_LEN);
    let name = || String::from_utf8_lossy(&kind).escape_default().to_string();
    let len = usize::try_from(declared)
        .ok()
        .filter(|len| *len <= left)
        .ok_or_else(|| CharacterError::PngChunkTooLong { kind: name(), offset, declared, left })?;
    let (whole, data) = (&rest[..len + FRAME_LEN], &rest[8..8 + len]);
    if crc32fast::hash(&whole[4..8 + len]).to_be_bytes() != whole[8 + len..] {
        return Err(CharacterError::PngChecksum { kind: name(), offset });
    }
    Ok(Chunk { kind, data, whole })
}

/// The chunk with a keyword. Two that say the same count as one: some programs write a second.
fn only_one<'a>(
    chunks: &[Chunk<'a>],
    keyword: &'static str,
) -> Result<Option<Chunk<'a>>, CharacterError> {
    let mut with_it = chunks.iter().filter(|chunk| chunk.keyword() == Some(keyword));
    let Some(first) = with_it.next() else {
        return Ok(None);
    };
    if with_it.any(|other| other.data != first.data || other.kind != first.kind) {
        return Err(CharacterError::PngTwoCards { keyword });
    }
    if &first.kind != b"tEXt" {
        let kind = String::from_utf8_lossy(&first.kind).into_owned();
        return Err(CharacterError::PngPacked { keyword, kind });
    }
    Ok(Some(*first))
}

fn put_text(out: &mut Vec<u8>, keyword: &str, card: &str) {
    let data = format!("{keyword}\0{}", BASE64.encode(card));
    // A card that would not fit into the 4 bytes is refused with the whole image.
    let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    let start = out.len();
    out.extend_from_slice(b"tEXt");
    out.extend_from_slice(data.as_bytes());
    let checksum = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&checksum.to_be_bytes());
}
