//! One question to a ZeroMQ REP socket, bounded: ZMTP 3, without security, as agents of before
//! speak it. A library would take what the other side announces, however large; whoever answers a
//! health check is not to be trusted so far.
//!
//! The protocol: <https://rfc.zeromq.org/spec/23/>.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How large an answer may be, with all its frames, in bytes.
const ANSWER_MAX_LEN: usize = 64 * 1024;

/// How many frames may come before the answer is whole.
const FRAMES_MAX: usize = 64;

const GREETING_LEN: usize = 64;

/// What the flags of a frame say.
const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// Asks, and returns the frames of the answer in one.
///
/// # Errors
/// In words, when the other side speaks something else, too much, or not at all.
pub(super) async fn ask(mut stream: TcpStream, question: &[u8]) -> Result<Vec<u8>, String> {
    let gone = |error: std::io::Error| format!("it broke off: {error}");
    stream.write_all(&greeting()).await.map_err(gone)?;
    let mut theirs = [0; GREETING_LEN];
    stream.read_exact(&mut theirs).await.map_err(gone)?;
    check_greeting(&theirs)?;
    stream.write_all(&ready()).await.map_err(gone)?;
    stream.write_all(&request(question)).await.map_err(gone)?;
    read_answer(&mut stream).await
}

fn greeting() -> [u8; GREETING_LEN] {
    let mut greeting = [0; GREETING_LEN];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

fn check_greeting(theirs: &[u8; GREETING_LEN]) -> Result<(), String> {
    if theirs[0] != 0xff || theirs[9] & 1 == 0 {
        return Err("it does not speak ZeroMQ".to_owned());
    }
    if theirs[10] < 3 {
        return Err("it speaks a version of ZeroMQ before 4".to_owned());
    }
    if theirs[12..32] != greeting()[12..32] {
        return Err("it wants security, and health checks have none".to_owned());
    }
    Ok(())
}

/// The command that says what we are.
fn ready() -> Vec<u8> {
    let body = b"\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ";
    [&[COMMAND, body.len() as u8], &body[..]].concat()
}

/// An empty frame, as a REQ socket begins, and the question.
fn request(question: &[u8]) -> Vec<u8> {
    let len = (question.len() as u64).to_be_bytes();
    [&[MORE, 0, LONG], &len[..], question].concat()
}

/// Reads until a message is whole; commands are passed over.
async fn read_answer(stream: &mut TcpStream) -> Result<Vec<u8>, String> {
    let mut answer = Vec::new();
    let mut left = ANSWER_MAX_LEN;
    for _ in 0..FRAMES_MAX {
        let (flags, frame) = read_frame(stream, left).await?;
        left -= frame.len();
        if flags & COMMAND != 0 {
            continue;
        }
        answer.extend_from_slice(&frame);
        if flags & MORE == 0 {
            return Ok(answer);
        }
    }
    Err(format!("its answer has more than {FRAMES_MAX} frames"))
}

async fn read_frame(stream: &mut TcpStream, len_max: usize) -> Result<(u8, Vec<u8>), String> {
    let gone = |error: std::io::Error| format!("it broke off: {error}");
    let flags = stream.read_u8().await.map_err(gone)?;
    let len = match flags & LONG {
        0 => u64::from(stream.read_u8().await.map_err(gone)?),
        _ => stream.read_u64().await.map_err(gone)?,
    };
    let fits = usize::try_from(len).ok().filter(|len| *len <= len_max);
    let len = fits.ok_or_else(|| format!("its answer is larger than {ANSWER_MAX_LEN} bytes"))?;
    let mut frame = vec![0; len];
    stream.read_exact(&mut frame).await.map_err(gone)?;
    Ok((flags, frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// What is asked of somebody who greets well and then says this.
    async fn answered(says: Vec<u8>) -> Result<Vec<u8>, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&greeting()).await.unwrap();
            // They may hang up before all of it is said.
            let _said = stream.write_all(&says).await;
            let mut heard = Vec::new();
            let _until_they_go = stream.read_to_end(&mut heard).await;
        });
        ask(TcpStream::connect(at).await.unwrap(), b"?").await
    }

    #[tokio::test]
    async fn an_answer_in_frames_is_put_together_and_commands_are_passed_over() {
        let says = [&ready()[..], &[MORE, 0, MORE, 2, b'o', b'k', 0, 1, b'!']].concat();
        assert_eq!(answered(says).await.unwrap(), b"ok!");
    }

    #[tokio::test]
    async fn whoever_says_too_much_is_not_listened_to() {
        let huge = [&[LONG], &(1_u64 << 45).to_be_bytes()[..]].concat();
        assert!(answered(huge).await.unwrap_err().contains("larger than"));
        let most = [&[LONG], &u64::MAX.to_be_bytes()[..]].concat();
        assert!(answered(most).await.unwrap_err().contains("larger than"));
        let endless = [MORE, 1, b'x'].repeat(1_000);
        assert!(answered(endless).await.unwrap_err().contains("more than 64 frames"));
        let many = [&[LONG | MORE], &40_000_u64.to_be_bytes()[..], &[0; 40_000]].concat().repeat(2);
        assert!(answered(many).await.unwrap_err().contains("larger than"));
    }
}
