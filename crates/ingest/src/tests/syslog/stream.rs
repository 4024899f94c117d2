//! Messages out of streams, whichever way they are framed.

use crate::syslog::frame::{BadLength, Framer};

fn frames(pieces: &[&[u8]]) -> (Vec<String>, String) {
    let mut framer = Framer::new(32);
    let mut found = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for piece in pieces {
        framer.push(piece, &mut |message| found.push(text(message))).expect("a stream");
    }
    (found, text(framer.unfinished()))
}

#[test]
fn both_framings_may_alternate() {
    let (found, rest) = frames(&[b"5 <1>ab<2>line\n\r\n6 <3>a\nb<4>x\0<5>rest"]);
    assert_eq!(found, ["<1>ab", "<2>line", "<3>a\nb", "<4>x"]);
    assert_eq!(rest, "<5>rest");
}

#[test]
fn pieces_of_any_size_make_the_same_messages() {
    let stream = b"12 <1>a b c d e<2>line\n2018 Nov 26 line\n6 <3>x\ny6";
    let whole = frames(&[stream]);
    assert_eq!(whole.0, ["<1>a b c d e", "<2>line", "2018 Nov 26 line", "<3>x\ny"]);
    assert_eq!(whole.1, "6");
    for size in 1..stream.len() {
        assert_eq!(frames(&stream.chunks(size).collect::<Vec<_>>()), whole, "pieces of {size}");
    }
}

#[test]
fn a_message_that_is_too_long_is_cut_and_the_next_is_whole() {
    let long = [b"<1>".as_slice(), &[b'a'; 100], b"\n<2>b\n"].concat();
    let (found, _) = frames(&[&long]);
    assert_eq!((found[0].len(), found[1].as_str()), (33, "<2>b"));
    let counted = [b"103 <1>".as_slice(), &[b'a'; 100], b"4 <2>b"].concat();
    let (found, _) = frames(&[&counted]);
    assert_eq!((found[0].len(), found[1].as_str()), (33, "<2>b"));
}

#[test]
fn a_length_beyond_all_bounds_ends_the_stream() {
    let mut framer = Framer::new(32);
    assert_eq!(framer.push(b"9999999 <1>a", &mut |_| {}), Err(BadLength));
}
