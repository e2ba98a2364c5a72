//! How a file writes its letters: UTF-8, or Windows-1252, in which spreadsheets and Salesforce's reports of half the world come
//! unless somebody asks for UTF-8. (Salesforce calls it ISO-8859-1, and writes euro signs in it all the same.)

use std::io::Read;

use super::ImportError;
use super::sheet::Open;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    #[default]
    Utf8,
    Western,
}

/// 0x80 to 0x9f; a hole of the table is U+FFFD. Above, its letters are Unicode's own.
const WESTERN: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}', '\u{fffd}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
];

impl Encoding {
    /// Looks a file through. Western is one that is no UTF-8 anywhere where it could show: a file that has letters of UTF-8 and
    /// broken ones besides is UTF-8 with broken lines.
    pub(super) fn of(open: &Open<'_>) -> Result<Self, ImportError> {
        let wrong = |error: std::io::Error| ImportError::File(error.to_string());
        let mut file = open().map_err(wrong)?;
        let (mut buffer, mut held) = (vec![0; 1 << 16], 0);
        let mut broken = false;
        loop {
            let read = file.read(&mut buffer[held..]).map_err(wrong)?;
            let end = held + read;
            let (letters, cut, bad) = look(&buffer[..end]);
            if letters {
                return Ok(Self::Utf8);
            }
            // A letter may be cut by the end of the piece; by the end of the file, it is broken.
            broken |= bad || (read == 0 && cut > 0);
            if read == 0 {
                return Ok(if broken { Self::Western } else { Self::Utf8 });
            }
            buffer.copy_within(end - cut..end, 0);
            held = cut;
        }
    }

    /// `None`: it is not what the file is.
    pub(super) fn read(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).ok().map(str::to_owned),
            Self::Western => Some(bytes.iter().map(|byte| western(*byte)).collect()),
        }
    }

    /// What can be read of it, for showing.
    pub(super) fn shown(self, bytes: &[u8]) -> String {
        self.read(bytes).unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned())
    }
}

fn western(byte: u8) -> char {
    let place = byte.checked_sub(0x80).map(usize::from);
    place.and_then(|place| WESTERN.get(place).copied()).unwrap_or(char::from(byte))
}

/// Whether there are letters of more than one byte, how many bytes at the end may be the beginning of one, and whether something
/// is broken.
fn look(mut bytes: &[u8]) -> (bool, usize, bool) {
    let (mut letters, mut broken) = (false, false);
    loop {
        // A mark at the beginning is one letter of UTF-8, and says so.
        match std::str::from_utf8(bytes) {
            Ok(text) => return (letters || !text.is_ascii(), 0, broken),
            Err(error) => {
                letters |= !bytes[..error.valid_up_to()].is_ascii();
                let Some(length) = error.error_len() else {
                    return (letters, bytes.len() - error.valid_up_to(), broken);
                };
                broken = true;
                bytes = &bytes[error.valid_up_to() + length..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn of(bytes: &[u8]) -> Encoding {
        Encoding::of(&|| Ok(Box::new(Cursor::new(bytes.to_vec())) as Box<dyn Read>)).expect("memory")
    }

    #[test]
    fn a_file_is_western_where_nothing_in_it_is_utf_8() {
        assert_eq!(of(b"name\nAcme\n"), Encoding::Utf8);
        assert_eq!(of("name\nMüller\n".as_bytes()), Encoding::Utf8);
        assert_eq!(of(b"name\nM\xfcller\n"), Encoding::Western);
        assert_eq!(of(b"name\nZo\xeb"), Encoding::Western, "at the very end");
        assert_eq!(of(b"\xef\xbb\xbfname\nM\xfcller\n"), Encoding::Utf8, "its mark says what it should be");
        let mixed = ["Müller\n".as_bytes(), b"M\xfcller\n"].concat();
        assert_eq!(of(&mixed), Encoding::Utf8, "with a broken line");
        // A letter that lies across the end of a piece is whole.
        for before in (1 << 16) - 3..=1 << 16 {
            assert_eq!(of(&[&vec![b'a'; before][..], "€\n".as_bytes()].concat()), Encoding::Utf8, "{before}");
            assert_eq!(of(&[&vec![b'a'; before][..], b"\xe2\x82\n"].concat()), Encoding::Western, "{before}");
        }
    }

    #[test]
    fn western_letters_are_read() {
        assert_eq!(
            Encoding::Western.read(b"M\xfcller \x80 5 \x96 \x93Zo\xeb\x94\x81"),
            Some("Müller € 5 – “Zoë”\u{fffd}".into())
        );
        assert_eq!((Encoding::Utf8.read(b"Zo\xeb"), Encoding::Utf8.shown(b"Zo\xeb")), (None, "Zo\u{fffd}".into()));
    }
}
