//! EVE's `tls` record.

use super::certificate::Shown;
use super::hello::ja3_hash;
use super::transaction::TlsTx;
use super::version;
use crate::event::json::Json;

/// Seconds since 1970 as `2026-01-31T12:00:00`.
fn utc(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400);
    let time = seconds.rem_euclid(86_400);
    // Civil date from days, by eras of 400 years (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes, seconds) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}")
}

fn write_dates(shown: &Shown, json: &mut Json<'_>) {
    if shown.not_before != 0 {
        json.str("notbefore", utc(shown.not_before));
    }
    if shown.not_after != 0 {
        json.str("notafter", utc(shown.not_after));
    }
}

fn write_ja3(key: &str, text: Option<&str>, json: &mut Json<'_>) {
    if let Some(text) = text {
        json.open_object(key);
        json.str("hash", ja3_hash(text));
        json.str("string", text);
        json.close_object();
    }
}

/// Write the record.
pub fn write(tx: &TlsTx, json: &mut Json<'_>) {
    let [client, server] = &tx.sides;
    let shown = server.certificates.shown.as_ref();
    json.open_object("tls");
    if let Some(shown) = shown {
        json.str("subject", &shown.subject);
        json.str("issuerdn", &shown.issuer);
    }
    if tx.resumed && shown.is_none() && server.hello_seen && !tx.without_certificate {
        json.bool("session_resumed", true);
    }
    if let Some(shown) = shown {
        json.str("serial", &shown.serial);
        json.str("fingerprint", &shown.fingerprint);
    }
    if let Some(sni) = &client.sni {
        json.str("sni", sni);
    }
    json.str("version", version::name(server.version));
    if let Some(shown) = shown {
        write_dates(shown, json);
    }
    write_ja3("ja3", client.ja3.as_deref(), json);
    write_ja3("ja3s", server.ja3.as_deref(), json);
    if let Some(ja4) = &tx.ja4_text {
        json.str("ja4", ja4);
    }
    json.close_object();
}

#[cfg(test)]
mod tests {
    #[test]
    fn seconds_are_written_as_utc() {
        assert_eq!(super::utc(0), "1970-01-01T00:00:00");
        assert_eq!(super::utc(1_709_210_096), "2024-02-29T12:34:56");
        assert_eq!(super::utc(-1), "1969-12-31T23:59:59");
    }
}
