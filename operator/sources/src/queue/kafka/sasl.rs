//! Signing in to Kafka: PLAIN, and SCRAM (RFC 5802, RFC 7677) as a pure exchange of messages. The nonce is the
//! caller's.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use secrecy::{ExposeSecret, SecretString};

use crate::fingerprint::Fingerprint;

/// How and as whom to sign in.
#[derive(Clone, Debug)]
pub struct Sasl {
    /// The mechanism.
    pub mechanism: Mechanism,
    /// The user.
    pub username: String,
    /// The password.
    pub password: SecretString,
}

/// The mechanisms of SASL that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Password in the clear: only together with TLS.
    Plain,
    /// Challenge and response with SHA-256.
    ScramSha256,
    /// Challenge and response with SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// Its registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Sasl {
    pub(super) fn feed(&self, fingerprint: &mut Fingerprint) {
        fingerprint.add(self.mechanism.as_str());
        fingerprint.add(&self.username);
        fingerprint.add(self.password.expose_secret());
    }

    /// The only message of PLAIN.
    pub(super) fn plain(&self) -> Vec<u8> {
        format!("\0{}\0{}", self.username, self.password.expose_secret()).into_bytes()
    }
}

/// A SCRAM exchange from our side.
pub(super) struct Scram<'a> {
    sasl: &'a Sasl,
    nonce: String,
}

/// What follows the server's challenge.
pub(super) struct Final {
    /// Our last message.
    pub(super) message: String,
    /// What the server must answer to prove that it knows the password too.
    expected: String,
}

impl<'a> Scram<'a> {
    pub(super) fn new(sasl: &'a Sasl, nonce: [u8; 24]) -> Self {
        Self { sasl, nonce: STANDARD.encode(nonce) }
    }

    /// `client-first-message`.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare())
    }

    /// Answers the server's challenge. An error says what is wrong with it.
    pub(super) fn answer(&self, challenge: &str) -> Result<Final, &'static str> {
        let field = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name));
        let nonce = field("r=").ok_or("the challenge has no nonce")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the challenge isn't an answer to our nonce");
        }
        let salt =
            field("s=").and_then(|salt| STANDARD.decode(salt).ok()).ok_or("the challenge has no salt")?;
        let rounds = field("i=").and_then(|i| i.parse::<u32>().ok()).ok_or("the challenge has no count")?;
        // Kafka's own least is 4,096; far more would only keep us busy.
        let rounds = NonZeroU32::new(rounds)
            .filter(|rounds| (4_096..=1_000_000).contains(&rounds.get()))
            .ok_or("the challenge's count isn't between 4,096 and 1,000,000")?;
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{challenge},{without_proof}", self.bare());

        let salted = self.salted(&salt, rounds);
        let client_key = self.hmac(&salted, b"Client Key");
        let stored_key = digest::digest(self.digest(), &client_key);
        let signature = self.hmac(stored_key.as_ref(), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, mask)| key ^ mask).collect();
        let server_key = self.hmac(&salted, b"Server Key");
        Ok(Final {
            message: format!("{without_proof},p={}", STANDARD.encode(proof)),
            expected: format!("v={}", STANDARD.encode(self.hmac(&server_key, signed.as_bytes()))),
        })
    }

    fn bare(&self) -> String {
        let name = self.sasl.username.replace('=', "=3D").replace(',', "=2C");
        format!("n={name},r={}", self.nonce)
    }

    fn salted(&self, salt: &[u8], rounds: NonZeroU32) -> Vec<u8> {
        let mut out = vec![0; self.digest().output_len()];
        let algorithm = match self.sasl.mechanism {
            Mechanism::ScramSha512 => pbkdf2::PBKDF2_HMAC_SHA512,
            Mechanism::ScramSha256 | Mechanism::Plain => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        pbkdf2::derive(algorithm, rounds, salt, self.sasl.password.expose_secret().as_bytes(), &mut out);
        out
    }

    fn hmac(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let algorithm = match self.sasl.mechanism {
            Mechanism::ScramSha512 => hmac::HMAC_SHA512,
            Mechanism::ScramSha256 | Mechanism::Plain => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
    }

    fn digest(&self) -> &'static digest::Algorithm {
        match self.sasl.mechanism {
            Mechanism::ScramSha512 => &digest::SHA512,
            Mechanism::ScramSha256 | Mechanism::Plain => &digest::SHA256,
        }
    }
}

impl Final {
    /// Whether the server's last message proves that it is the one that knows the password.
    pub(super) fn proves(&self, answer: &str) -> bool {
        answer.split(',').next() == Some(self.expected.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sasl(mechanism: Mechanism) -> Sasl {
        Sasl { mechanism, username: "user".into(), password: "pencil".to_owned().into() }
    }

    #[test]
    fn the_example_of_rfc_7677_comes_out() {
        let sasl = sasl(Mechanism::ScramSha256);
        let scram = Scram { sasl: &sasl, nonce: "rOprNGfwEbeRWgbNEkqO".into() };
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let last = scram.answer(challenge).unwrap();
        assert_eq!(
            last.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(last.proves("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!last.proves("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="));
        assert!(!last.proves("e=invalid-proof"));
    }

    #[test]
    fn a_challenge_that_is_not_for_us_is_refused() {
        let sasl = sasl(Mechanism::ScramSha512);
        let scram = Scram::new(&sasl, [7; 24]);
        assert!(scram.answer("r=other,s=YWJj,i=4096").is_err());
        assert!(scram.answer(&format!("r={}x,s=YWJj,i=10", scram.nonce)).is_err());
        assert!(scram.answer(&format!("r={}x,s=YWJj,i=4096", scram.nonce)).is_ok());
    }

    #[test]
    fn names_are_escaped_and_plain_is_what_kafka_wants() {
        let sasl = Sasl { username: "a=b,c".into(), ..sasl(Mechanism::Plain) };
        assert!(Scram::new(&sasl, [0; 24]).first().starts_with("n,,n=a=3Db=2Cc,r="));
        assert_eq!(sasl.plain(), b"\0a=b,c\0pencil");
    }
}
