//! W3C Trace Context: what a request says of its trace, and what is said of it from here on.
//!
//! <https://www.w3.org/TR/trace-context/>, sections 3.2 (`traceparent`) and 4.3 (how to change it).

use strife_wire::hpack::Fields;

/// The header that names the trace, the span that sent the request, and whether it is sampled.
pub(crate) const TRACEPARENT: &[u8] = b"traceparent";
/// What vendors add. It belongs to a `traceparent` and goes with it.
const TRACESTATE: &[u8] = b"tracestate";

/// `00-` trace id `-` span id `-` flags.
const LENGTH: usize = 55;
/// The caller may have recorded its span.
const SAMPLED: u8 = 1;
/// Flags that have a meaning: sampled and, since level 2, random. Others are sent as zero.
const KNOWN_FLAGS: u8 = 3;

/// A `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceContext {
    trace_id: [u8; 16],
    /// The span that sent the request.
    span_id: [u8; 8],
    flags: u8,
}

/// What a request says of its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Incoming {
    None,
    Valid(TraceContext),
    /// As if there were none, and its `tracestate` goes too.
    Malformed,
}

/// A traced call: the balancer's span of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallTrace {
    /// With the balancer's span: what the endpoint is told.
    context: TraceContext,
    /// The client's span; `None`: the trace begins here.
    parent: Option<[u8; 8]>,
    /// The policy that picked last, and its rule.
    picked: Option<(&'static str, &'static str)>,
}

impl TraceContext {
    /// Of a header's value. Longer ones of versions to come are read as far as they are known.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let (version, rest) = field::<1>(value)?;
        let (trace_id, rest) = field::<16>(rest.strip_prefix(b"-")?)?;
        let (span_id, rest) = field::<8>(rest.strip_prefix(b"-")?)?;
        let (flags, rest) = field::<1>(rest.strip_prefix(b"-")?)?;
        let ends_well = match version[0] {
            0xff => false,
            0 => rest.is_empty(),
            _ => rest.is_empty() || rest[0] == b'-',
        };
        let are_ids = trace_id != [0; 16] && span_id != [0; 8];
        let flags = flags[0] & KNOWN_FLAGS;
        (ends_well && are_ids).then_some(Self { trace_id, span_id, flags })
    }

    pub(super) fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    fn format(self) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        hexadecimal(&mut text[3..35], &self.trace_id);
        hexadecimal(&mut text[36..52], &self.span_id);
        hexadecimal(&mut text[53..55], &[self.flags]);
        text
    }
}

impl Incoming {
    /// Of a request's fields. Two `traceparent`s are as good as none.
    pub(super) fn of(fields: &Fields) -> Self {
        let mut found = fields.iter().filter(|field| field.name == TRACEPARENT);
        match (found.next(), found.next()) {
            (None, _) => Self::None,
            (Some(field), None) => {
                TraceContext::parse(field.value).map_or(Self::Malformed, Self::Valid)
            }
            (Some(_), Some(_)) => Self::Malformed,
        }
    }
}

impl CallTrace {
    /// A span in the client's trace, or in a new one. `random`: for ids that are to be made.
    pub(super) fn new(incoming: &Incoming, random: &[u8; 24]) -> Self {
        let (for_span, for_trace) = random.split_at(8);
        // Zero is no id.
        let mut span_id: [u8; 8] = for_span.try_into().expect("8 bytes");
        span_id[7] |= u8::from(span_id == [0; 8]);
        if let Incoming::Valid(context) = *incoming {
            let parent = Some(context.span_id);
            return Self { context: TraceContext { span_id, ..context }, parent, picked: None };
        }
        let mut trace_id: [u8; 16] = for_trace.try_into().expect("16 bytes");
        trace_id[15] |= u8::from(trace_id == [0; 16]);
        let context = TraceContext { trace_id, span_id, flags: SAMPLED };
        Self { context, parent: None, picked: None }
    }

    /// The `traceparent` that the endpoint gets.
    pub(crate) fn traceparent(&self) -> [u8; LENGTH] {
        self.context.format()
    }

    /// Whether a field of the request goes to the endpoint too.
    pub(crate) fn keeps(&self, name: &[u8]) -> bool {
        match name {
            TRACEPARENT => false,
            TRACESTATE => self.parent.is_some(),
            _ => true,
        }
    }

    /// An endpoint was picked for it, by this policy and rule.
    pub(crate) fn picked(&mut self, policy: &'static str, regime: &'static str) {
        self.picked = Some((policy, regime));
    }

    pub(super) fn trace_id(&self) -> [u8; 16] {
        self.context.trace_id
    }

    pub(super) fn span_id(&self) -> [u8; 8] {
        self.context.span_id
    }

    pub(super) fn parent(&self) -> Option<[u8; 8]> {
        self.parent
    }

    pub(super) fn last_pick(&self) -> Option<(&'static str, &'static str)> {
        self.picked
    }
}

/// `N` octets in hexadecimal, lower case, and what is behind them.
fn field<const N: usize>(text: &[u8]) -> Option<([u8; N], &[u8])> {
    let (digits, rest) = text.split_at_checked(2 * N)?;
    let mut octets = [0; N];
    for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
        *octet = 16 * digit(pair[0])? + digit(pair[1])?;
    }
    Some((octets, rest))
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn hexadecimal(place: &mut [u8], octets: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, octet) in place.chunks_exact_mut(2).zip(octets) {
        pair[0] = DIGITS[usize::from(octet >> 4)];
        pair[1] = DIGITS[usize::from(octet & 15)];
    }
}

#[cfg(test)]
mod tests;
