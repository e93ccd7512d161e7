//! When a certificate expires, read from its DER: the few steps to the second time in `validity`, and no more of X.509.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const EXPLICIT_VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `notAfter`, or `None` where this isn't a certificate.
pub(crate) fn expiry(der: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut body, _) = element(certificate, SEQUENCE)?;
    if body.first() == Some(&EXPLICIT_VERSION) {
        body = skip(body)?;
    }
    // serialNumber, signature, issuer
    for _ in 0..3 {
        body = skip(body)?;
    }
    let (validity, _) = element(body, SEQUENCE)?;
    time(skip(validity)?)
}

fn time(der: &[u8]) -> Option<Timestamp> {
    let (tag, content, _) = any(der)?;
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let text = match tag {
        // RFC 5280: two digits below 50 are of this century.
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let at = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn element(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = any(der)?;
    (tag == wanted).then_some((content, rest))
}

fn skip(der: &[u8]) -> Option<&[u8]> {
    any(der).map(|(_, _, rest)| rest)
}

/// Tag, content and what follows.
fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let bytes = usize::from(first & 0x7F);
        if bytes == 0 || bytes > 4 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(bytes)?;
        (digits.iter().fold(0, |n, d| n << 8 | usize::from(*d)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        if content.len() < 128 {
            out.push(content.len() as u8);
        } else {
            out.extend([0x82, (content.len() >> 8) as u8, content.len() as u8]);
        }
        out.extend(content);
        out
    }

    fn certificate(not_after: &[u8]) -> Vec<u8> {
        let validity = [tlv(UTC_TIME, b"251101000000Z"), not_after.to_vec()].concat();
        let body = [
            tlv(0xA0, &tlv(2, &[2])),
            tlv(2, &[1; 20]),
            tlv(SEQUENCE, &[5, 0]),
            tlv(SEQUENCE, &[0x31, 0].repeat(100)),
            tlv(SEQUENCE, &validity),
        ]
        .concat();
        tlv(SEQUENCE, &tlv(SEQUENCE, &body))
    }

    #[test]
    fn both_ways_to_write_a_time_are_read() {
        let soon = certificate(&tlv(UTC_TIME, b"261201120000Z"));
        assert_eq!(expiry(&soon), Some("2026-12-01T12:00:00Z".parse().unwrap()));
        let late = certificate(&tlv(GENERALIZED_TIME, b"20510101000000Z"));
        assert_eq!(expiry(&late), Some("2051-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn what_is_no_certificate_has_no_expiry() {
        let whole = certificate(&tlv(UTC_TIME, b"261201120000Z"));
        for n in 0..whole.len() {
            assert_eq!(expiry(&whole[..n]), None);
        }
        assert_eq!(expiry(b"hello"), None);
    }
}
