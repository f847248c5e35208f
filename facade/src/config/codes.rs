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

/// Code, meaning and remedy of each.
pub const ALL: [(&str, &str, &str); 12] = [
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
];
