//! What the kernel says about its clock.
//!
//! The engine takes the time as an argument; this is here because asking takes a system call that no safe crate
//! offers, and only the engine may have code that the compiler cannot check.

#![expect(unsafe_code, reason = "adjtimex is in no safe crate")]

use std::mem::MaybeUninit;

/// Whether the kernel reports its clock synchronised with others. False also where it does not say.
pub fn is_synchronised() -> bool {
    let mut state = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: the pointer is to a `timex` of this frame, all zero, whose field `modes` of 0 asks and sets nothing.
    let answer = unsafe { libc::adjtimex(state.as_mut_ptr()) };
    // Under a clock that nobody disciplines the answer is TIME_ERROR, and -1 where asking is forbidden.
    answer >= 0 && answer != libc::TIME_ERROR
}

#[cfg(test)]
mod tests {
    #[test]
    fn asking_changes_nothing_and_may_be_repeated() {
        assert_eq!(super::is_synchronised(), super::is_synchronised());
    }
}
