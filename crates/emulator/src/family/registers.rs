//! Measurement registers that a running program extends: register ← H(register ‖ value).

use aws_lc_rs::digest::{self, Algorithm};
use device::{Failure, FailureCode};

/// Four registers, all zero when the program starts.
pub(super) struct Registers {
    algorithm: &'static Algorithm,
    /// How long a value may be.
    shortest: usize,
    longest: usize,
    values: [Vec<u8>; 4],
}

impl Registers {
    /// Registers as long as the algorithm's digests, for values of these lengths.
    pub(super) fn new(algorithm: &'static Algorithm, shortest: usize, longest: usize) -> Self {
        let zero = vec![0; algorithm.output_len()];
        let values = [zero.clone(), zero.clone(), zero.clone(), zero];
        Self { algorithm, shortest, longest, values }
    }

    /// Sets a register to what the launch left in it.
    pub(super) fn start_at(&mut self, index: usize, value: &[u8]) {
        self.values[index] = value.to_vec();
    }

    /// Extends one register.
    pub(super) fn extend(&mut self, index: u64, value: &[u8]) -> Result<(), Failure> {
        if !(self.shortest..=self.longest).contains(&value.len()) {
            let what = format!("{} to {} bytes extend a register", self.shortest, self.longest);
            return Err(Failure::new(FailureCode::Malformed, what));
        }
        let at = self.position(index)?;
        let mut digest = digest::Context::new(self.algorithm);
        digest.update(&self.values[at]);
        digest.update(value);
        self.values[at] = digest.finish().as_ref().to_vec();
        Ok(())
    }

    /// Reads one register.
    pub(super) fn read(&self, index: u64) -> Result<Vec<u8>, Failure> {
        Ok(self.values[self.position(index)?].clone())
    }

    /// All registers.
    pub(super) fn values(&self) -> &[Vec<u8>; 4] {
        &self.values
    }

    fn position(&self, index: u64) -> Result<usize, Failure> {
        let at = usize::try_from(index).ok().filter(|at| *at < self.values.len());
        at.ok_or_else(|| Failure::new(FailureCode::Absent, "there are registers 0 to 3"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= EV-TDX-3: start 48 zero bytes; R ← SHA-384(R ‖ digest)
    #[test]
    fn a_register_is_the_digest_of_what_was_there_and_the_value() {
        let mut registers = Registers::new(&digest::SHA384, 48, 48);

        registers.extend(2, &[7; 48]).unwrap();
        registers.extend(2, &[8; 48]).unwrap();

        let sha384 = |bytes: &[u8]| digest::digest(&digest::SHA384, bytes).as_ref().to_vec();
        let first = sha384(&[[0; 48], [7; 48]].concat());
        assert_eq!(registers.read(2), Ok(sha384(&[&first[..], &[8; 48]].concat())));
        assert_eq!(registers.read(1), Ok(vec![0; 48]));
    }

    #[test]
    fn what_is_no_register_or_no_digest_is_refused_and_changes_nothing() {
        let mut registers = Registers::new(&digest::SHA384, 48, 48);
        let code = |done: Result<(), Failure>| done.unwrap_err().code;

        assert_eq!(code(registers.extend(4, &[7; 48])), FailureCode::Absent);
        assert_eq!(code(registers.extend(u64::MAX, &[7; 48])), FailureCode::Absent);
        assert_eq!(code(registers.extend(0, &[7; 32])), FailureCode::Malformed);
        assert_eq!(registers.read(4).unwrap_err().code, FailureCode::Absent);
        assert!(registers.values().iter().all(|value| *value == [0; 48]));
    }
}
