//! The steps of the forecast that an example measures, in seconds: those of the command line, or a minute and five.

use std::time::Duration;

/// Measures each of them.
pub(crate) fn each(
    measure: impl Fn(Duration) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let steps: Vec<u64> = std::env::args().skip(1).map(|s| s.parse()).collect::<Result<_, _>>()?;
    for step in if steps.is_empty() { vec![60, 300] } else { steps } {
        measure(Duration::from_secs(step))?;
    }
    Ok(())
}
