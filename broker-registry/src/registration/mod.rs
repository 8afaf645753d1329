//! Registration as the broker asks for it: the request, and the rules that it is judged by.

mod refusal;
mod request;
mod rules;

pub use refusal::{RegistrationRefusal, ResponseError};
pub use request::RegistrationRequest;
pub use rules::check_registration;
