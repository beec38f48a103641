//! What can go wrong while looking at the world, each as one sentence: what, where, what to do.
//!
//! No message carries a header, an answer's body, or the credentials of a URL. What a metrics server says about a query
//! (its `error` field) is carried, cut to [`MAX_REMOTE_TEXT`] characters, because it is about the author's own text.

/// Longest text of somebody else that is repeated in a message, in characters: two lines of a terminal.
pub const MAX_REMOTE_TEXT: usize = 200;

/// Everything that reading a source can end in, beside an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObserveError {
    /// A setting of the controller makes no sense.
    #[error("{what} is not usable: {why}")]
    Configuration {
        /// Which setting.
        what: String,
        /// Why.
        why: String,
    },
    /// A Prometheus source is used and no server is configured.
    #[error("no Prometheus server is configured: start the controller with its URL, or use another source")]
    NoPrometheus,
    /// No connection.
    #[error("Prometheus at {url} cannot be reached ({why}): check the URL, the Service and network policies")]
    PrometheusUnreachable {
        /// Base URL without credentials.
        url: String,
        /// The cause.
        why: String,
    },
    /// No answer in time.
    #[error("Prometheus at {url} did not answer within {seconds} s: check its load, or make the query cheaper")]
    PrometheusTimeout {
        /// Base URL without credentials.
        url: String,
        /// How long was waited.
        seconds: u64,
    },
    /// An HTTP status that is not about the query.
    #[error("Prometheus at {url} answered HTTP {status}: {hint}")]
    PrometheusStatus {
        /// Base URL without credentials.
        url: String,
        /// The status.
        status: u16,
        /// What to do.
        hint: &'static str,
    },
    /// An answer that is not what the API promises.
    #[error("the answer of Prometheus at {url} cannot be used ({why}): check that the URL is that of a Prometheus API")]
    PrometheusAnswer {
        /// Base URL without credentials.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server refused the query.
    #[error("the query was rejected: {message}; correct the query")]
    QueryRejected {
        /// The server's words.
        message: String,
    },
    /// The text is not `PromQL`.
    #[error("the query does not parse: {message}; correct the query")]
    QuerySyntax {
        /// The parser's words.
        message: String,
    },
    /// A direct source whose first poll is under way.
    #[error("the source has not answered yet: its first poll is under way")]
    NotPolledYet,
    /// A direct source outside of what policies of the namespace may ask.
    #[error("{why}, so that {url} is not asked: name a Service of the policy's namespace whose pods answer")]
    NotAllowed {
        /// The URL, without credentials.
        url: String,
        /// Why, as half a sentence.
        why: String,
    },
    /// No connection to any of the monitoring endpoints.
    #[error("NATS monitoring at {url} cannot be reached ({why}): check monitoringUrls and the server's http_port")]
    NatsUnreachable {
        /// The URL, without credentials.
        url: String,
        /// The cause.
        why: String,
    },
    /// An answer that is not `/jsz`.
    #[error("the answer of {url} cannot be used ({why}): check that it is a NATS monitoring endpoint")]
    NatsAnswer {
        /// The URL, without credentials.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// `JetStream` is off.
    #[error("JetStream is not enabled on the server at {url}: enable it, or name the servers that have it")]
    JetStreamDisabled {
        /// The URL, without credentials.
        url: String,
    },
    /// No such account.
    #[error("NATS has no JetStream account `{account}`: check natsJetStream.account (`$G` when none is configured)")]
    AccountNotFound {
        /// The account asked for.
        account: String,
    },
    /// No such stream.
    #[error("NATS account `{account}` has no stream `{stream}`: create it, or correct natsJetStream.stream")]
    StreamNotFound {
        /// The account asked for.
        account: String,
        /// The stream asked for.
        stream: String,
    },
    /// No such consumer.
    #[error("NATS stream `{stream}` has no consumer `{consumer}`: create it, or correct natsJetStream.consumer")]
    ConsumerNotFound {
        /// The stream asked for.
        stream: String,
        /// The consumer asked for.
        consumer: String,
    },
    /// Only followers answered.
    #[error("consumer `{consumer}` is led by {leader}, which none of the monitoringUrls reached: add its URL")]
    LeaderNotReached {
        /// The consumer asked for.
        consumer: String,
        /// Name of the leading server, or words for its absence.
        leader: String,
    },
    /// metrics.k8s.io does not answer.
    #[error(
        "metrics.k8s.io gives no pod usage for namespace {namespace} ({why}): install metrics-server, or configure a Prometheus URL"
    )]
    MetricsApi {
        /// The namespace that was listed.
        namespace: String,
        /// The cause.
        why: String,
    },
}

impl ObserveError {
    /// The class of the error: the only part that may become a label.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Configuration { .. } | Self::NoPrometheus => "configuration",
            Self::PrometheusUnreachable { .. } | Self::NatsUnreachable { .. } => "unreachable",
            Self::PrometheusTimeout { .. } => "timeout",
            Self::PrometheusStatus { .. } => "status",
            Self::PrometheusAnswer { .. } | Self::NatsAnswer { .. } => "answer",
            Self::QueryRejected { .. } | Self::QuerySyntax { .. } => "query",
            Self::JetStreamDisabled { .. }
            | Self::AccountNotFound { .. }
            | Self::StreamNotFound { .. }
            | Self::ConsumerNotFound { .. } => "not_found",
            Self::LeaderNotReached { .. } => "no_leader",
            Self::NotAllowed { .. } => "not_allowed",
            Self::NotPolledYet => "starting",
            Self::MetricsApi { .. } => "metrics_api",
        }
    }

    /// Whether the source itself said that what was asked for does not exist: an answer, though an empty one.
    #[must_use]
    pub const fn is_empty_answer(&self) -> bool {
        matches!(self, Self::StreamNotFound { .. } | Self::ConsumerNotFound { .. })
    }

    /// Whether the question is wrong, so that asking again cannot help.
    #[must_use]
    pub const fn is_wrong_question(&self) -> bool {
        matches!(self, Self::QueryRejected { .. } | Self::QuerySyntax { .. })
    }
}

/// Cuts somebody else's text to [`MAX_REMOTE_TEXT`] characters on one line.
#[must_use]
pub fn shorten(text: &str) -> String {
    crate::policy::in_one_line(text, MAX_REMOTE_TEXT)
}

/// The innermost cause of an error, on one line: "Connection refused" rather than "error sending request for url …".
/// The URL is left out, because it may carry credentials.
#[must_use]
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    shorten(&inner.to_string())
}

/// A URL as it may be shown: without user, password, query and fragment.
pub(super) fn shown(url: &reqwest::Url) -> String {
    let mut shown = url.clone();
    // Both fail only for URLs that cannot have credentials.
    shown.set_username("").ok();
    shown.set_password(None).ok();
    shown.set_query(None);
    shown.set_fragment(None);
    shown.as_str().trim_end_matches('/').to_owned()
}
