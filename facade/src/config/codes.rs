//! What the codes of errors in `vestibule.yaml` mean.

/// A value is not of the kind that is needed here.
pub const VALUE: &str = "C001";
/// A model's kind is not known.
pub const MODEL_KIND: &str = "C002";
/// A model does not have exactly one kind.
pub const ONE_KIND: &str = "C003";
/// A route names a model that is not under `models`.
pub const UNKNOWN_MODEL: &str = "C004";
/// A route names no model, or one twice.
pub const ROUTE: &str = "C005";
/// A file of the directory can not be read.
pub const UNREADABLE: &str = "C006";
/// Two mappings have one name.
pub const SAME_NAME: &str = "C007";
/// A channel's protocol is not known, or lacks a setting.
pub const CHANNEL: &str = "C008";
/// A flow can not be put together.
pub const ASSEMBLY: &str = "C009";
/// A flow is durable and there is no store.
pub const NO_STORE: &str = "C010";
/// A file that is to be checked is used by nothing.
pub const UNUSED: &str = "C011";
/// A model that is asked in words has no prompt.
pub const NO_PROMPT: &str = "C012";
/// The place of the job store is not one.
pub const STORE: &str = "C013";
/// A connection has no kind, or an unknown one.
pub const CONNECTION: &str = "C014";
/// A channel names a connection that is not under `connections`.
pub const UNKNOWN_CONNECTION: &str = "C015";
/// An address that results may be sent to is none.
pub const CALLBACK: &str = "C016";
/// A secret stands where the name of an environment variable is needed, or the variable is not set.
pub const SECRET: &str = "C017";
/// `retention` or `thresholds` name a flow that is not there.
pub const UNKNOWN_FLOW: &str = "C018";
/// Two mappings are posted to at one path.
pub const SAME_PATH: &str = "C019";

/// Code, meaning and remedy of each.
pub const ALL: [(&str, &str, &str); 19] = [
    (VALUE, "a setting is not of the kind that is needed here", "write it as the caret's line says"),
    (MODEL_KIND, "there is no such kind of model", "use one of the kinds that the message lists"),
    (ONE_KIND, "a model needs exactly one kind", "write one word under the model's name, e.g. `rules:`"),
    (UNKNOWN_MODEL, "a route names a model that is not there", "add it under `models:`, or correct the name"),
    (ROUTE, "a route names no model, or one twice", "list each model once, in the order to be tried"),
    (UNREADABLE, "a file can not be read", "check that it is there, is text, and may be read"),
    (SAME_NAME, "two mappings have one name", "a mapping's name is its flow's: give one of them another"),
    (CHANNEL, "a channel of `receive` can not be served", "see the caret's line for what is known"),
    (ASSEMBLY, "a flow can not be put together", "the message says which part; `vestibule check` shows all"),
    (
        NO_STORE,
        "a flow is durable and there is no store",
        "give `store:` a place, or write `durability: none`",
    ),
    (
        UNUSED,
        "a file that is to be checked is used by nothing",
        "name it in a model or a fallback of a mapping",
    ),
    (
        NO_PROMPT,
        "a language model of the route would be asked without a prompt",
        "write `prompt:` under `ask`, or take a route with decision tables alone",
    ),
    (
        STORE,
        "the place of the job store is not one",
        "name one of `sqlite` and `postgres`, as the caret's line says",
    ),
    (
        CONNECTION,
        "a connection has no kind, or an unknown one",
        "write one word under its name, e.g. `amqp:`",
    ),
    (
        UNKNOWN_CONNECTION,
        "a channel names a connection that is not there",
        "add it under `connections:` of vestibule.yaml, or correct the name",
    ),
    (
        CALLBACK,
        "an address that results may be sent to is none",
        "write scheme, host and path, and list it under `callbacks.allow`",
    ),
    (
        SECRET,
        "an environment variable that holds a secret is not named, or not set",
        "name the variable, and set it where the server runs",
    ),
    (
        UNKNOWN_FLOW,
        "`retention` or `thresholds` name a flow that is not there",
        "a flow has its mapping's name",
    ),
    (SAME_PATH, "two mappings are posted to at one path", "give each webhook a path of its own"),
];
