//! Numbers as digits in base 16, in lower case: of ids, of which each request makes two.

/// Four bytes as eight digits, all at once.
pub(super) fn digits(number: u32) -> [u8; 8] {
    const ONES: u64 = u64::MAX / 255;
    let number = u64::from(number);
    // Each half moves to a place of its own, then each byte, then each digit.
    let halves = (number | number << 16) & 0x0000_ffff_0000_ffff;
    let bytes = (halves | halves << 8) & 0x00ff_00ff_00ff_00ff;
    let digits = (bytes | bytes << 4) & (ONES * 0x0f);
    // From ten on a sum of six more reaches into the higher half of the byte.
    let letters = (digits + ONES * 6) >> 4 & ONES;
    (digits + ONES * u64::from(b'0') + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_formatter() {
        let numbers =
            (0..=u16::MAX).flat_map(|half| [u32::from(half), u32::from(half) << 16 | 0xa9]);
        for number in numbers.chain([u32::MAX, 0x0123_4567, 0x89ab_cdef]) {
            assert_eq!(digits(number), *format!("{number:08x}").as_bytes());
        }
    }
}
