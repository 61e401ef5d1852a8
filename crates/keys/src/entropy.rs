//! Random bytes of the operating system.

use cose::Entropy;

/// The provider's generator, seeded by the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, out: &mut [u8]) {
        aws_lc_rs::rand::fill(out).expect("the operating system has entropy");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let (mut one, mut other) = ([0; 32], [0; 32]);

        SystemEntropy.fill(&mut one);
        SystemEntropy.fill(&mut other);

        assert_ne!(one, other);
    }
}
