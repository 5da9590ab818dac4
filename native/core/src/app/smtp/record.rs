//! The record of a mail: `smtp` is its envelope, `email` what its header says.

use super::mime::Mime;
use super::transaction::SmtpTx;
use crate::event::json::Json;

/// Write both. `extended`: with what only a record of its own shows of the mail.
pub(super) fn write(tx: &SmtpTx, extended: bool, json: &mut Json<'_>) {
    json.open_object("smtp");
    if let Some(helo) = &tx.helo {
        json.str("helo", helo);
    }
    if let Some(from) = &tx.from {
        json.str("mail_from", from);
    }
    write_list("rcpt_to", tx.recipients.iter().map(Vec::as_slice), json);
    json.close_object();
    if let Some(mail) = &tx.mail {
        write_mail(mail, extended, json);
    }
}

fn write_list<'a>(key: &str, items: impl Iterator<Item = &'a [u8]>, json: &mut Json<'_>) {
    let mut items = items.peekable();
    if items.peek().is_some() {
        json.open_array(key);
        for item in items {
            json.str_element(item);
        }
        json.close_array();
    }
}

/// Addresses between commas that are not within quotes.
fn addresses(value: &[u8]) -> Vec<&[u8]> {
    let mut quoted = false;
    value
        .split(|&octet| {
            quoted ^= octet == b'"';
            octet == b',' && !quoted
        })
        .map(<[u8]>::trim_ascii)
        .filter(|address| !address.is_empty())
        .collect()
}

fn write_mail(mail: &Mime, extended: bool, json: &mut Json<'_>) {
    json.open_object("email");
    json.str("status", if mail.done { "PARSE_DONE" } else { "BODY_STARTED" });
    if let Some(from) = mail.field("from") {
        json.str("from", from);
    }
    for key in ["to", "cc"] {
        if let Some(value) = mail.field(key) {
            write_list(key, addresses(value).into_iter(), json);
        }
    }
    write_list("attachment", mail.attachments.iter().map(Vec::as_slice), json);
    write_list("url", mail.urls.iter().map(Vec::as_slice), json);
    if !extended {
        json.close_object();
        return;
    }
    if let Some(value) = mail.field("bcc") {
        write_list("bcc", addresses(value).into_iter(), json);
    }
    for (key, field) in [
        ("message_id", "message-id"),
        ("subject", "subject"),
        ("x_mailer", "x-mailer"),
        ("user_agent", "user-agent"),
    ] {
        if let Some(value) = mail.field(field) {
            json.str(key, value);
        }
    }
    json.close_object();
}
