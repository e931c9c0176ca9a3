//! HdrHistogram's percentile text (`.hgrm`), as the reference implementation's
//! `outputPercentileDistribution` writes it, with values in milliseconds.
//!
//! <https://hdrhistogram.github.io/HdrHistogram/plotFiles.html> reads it.

use std::fmt::Write;

use hdrhistogram::Histogram;

/// Lines between a quantile and the one halfway from it to 1: the reference tool's default.
const TICKS_PER_HALF_DISTANCE: u32 = 5;
const US_PER_MS: f64 = 1_000.0;

/// The text of a histogram of microseconds.
pub fn percentile_text(histogram: &Histogram<u64>) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut count = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        count += step.count_since_last_iteration();
        let value_ms = step.value_iterated_to() as f64 / US_PER_MS;
        let quantile = step.quantile_iterated_to();
        // Writing to a string cannot fail.
        let _ = write!(text, "{value_ms:12.3} {quantile:2.12} {count:10}");
        if quantile < 1.0 {
            let _ = write!(text, " {:14.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let (mean, deviation) = (histogram.mean() / US_PER_MS, histogram.stdev() / US_PER_MS);
    let (max, total) = (histogram.max() as f64 / US_PER_MS, histogram.len());
    let sub_buckets = 2 * 10_u64.pow(u32::from(histogram.sigfig()));
    let _ = write!(
        text,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]\n\
         #[Max     = {max:12.3}, Total count    = {total:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]\n",
        histogram.buckets(),
        sub_buckets.next_power_of_two(),
    );
    text
}
