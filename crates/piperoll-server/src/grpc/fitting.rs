//! Answers of one message: whatever was asked for, they stay below what clients take.

/// Most bytes of values in an answer of one message, half of what clients take unless told otherwise.
const ANSWER_BYTES_MAX: usize = 2 << 20;
/// What stands beside the bytes of a value: lengths, a count.
const BESIDE_BYTES: usize = 24;

/// The first items, as many as fit, one at least; and how many were left out.
pub(super) fn fitting<T>(items: Vec<T>, bytes_of: impl Fn(&T) -> usize) -> (Vec<T>, u64) {
    let all = items.len();
    let mut bytes = 0_usize;
    let fits = |item: &T| {
        let has_room = bytes < ANSWER_BYTES_MAX;
        bytes = bytes.saturating_add(bytes_of(item)).saturating_add(BESIDE_BYTES);
        has_room
    };
    let fitting: Vec<_> = items.into_iter().take_while(fits).collect();
    let omitted = (all - fitting.len()) as u64;
    (fitting, omitted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_one_always_comes() {
        assert_eq!(fitting(vec!["a", "b"], |text| text.len()), (vec!["a", "b"], 0));
        assert_eq!(fitting(Vec::<&str>::new(), |text| text.len()), (Vec::new(), 0));
        let (found, omitted) = fitting(vec![(); 1_000], |()| 64 << 10);
        assert_eq!((found.len(), omitted), (32, 968));
        assert_eq!(fitting(vec![1, 2], |_| usize::MAX), (vec![1], 1));
    }
}
