//! PDFs that are written here, stream by stream: pages, headings, letters that nobody sees, pictures.

use super::*;
use crate::tests::pdf_of;

#[test]
fn each_page_is_a_place_and_large_letters_are_headings() {
    let first = "BT /F1 20 Tf 72 700 Td (Mooring rules) Tj ET BT /F1 11 Tf 72 660 Td (Fees are due at noon, the cap-) Tj 0 -14 Td (tain pays.) Tj ET";
    let second = "BT /F1 11 Tf 72 700 Td (Second page.) Tj ET";
    let reading = read(&pdf_of(&[first, second])).unwrap();
    assert_eq!(reading.text, "# Mooring rules\n\nFees are due at noon, the captain pays.\n\nSecond page.\n");
    let places: Vec<_> =
        reading.places.iter().map(|place| (&place.position, &reading.text[place.start as usize..][..6])).collect();
    assert_eq!(places, [(&Position::Page(1), "# Moor"), (&Position::Page(2), "Second")]);
}

#[test]
fn what_is_off_the_page_is_left_out_and_what_is_too_small_is_counted_too() {
    for (hidden, counted) in [("/F1 11 Tf 1200 700 Td", 0), ("/F1 11 Tf 72 -400 Td", 0), ("/F1 0.4 Tf 72 600 Td", 1)] {
        let page = format!("BT /F1 11 Tf 72 700 Td (Seen.) Tj ET BT {hidden} (SECRET) Tj ET");
        let reading = read(&pdf_of(&[&page])).unwrap();
        assert_eq!((reading.text.as_str(), reading.noticed.hidden_text), ("Seen.\n", counted), "{hidden}");
    }
}

#[test]
fn pages_of_pictures_are_counted_and_a_file_of_them_is_refused() {
    let text = "BT /F1 11 Tf 72 700 Td (Text.) Tj ET";
    assert_eq!(read(&pdf_of(&["0 0 10 10 re f", text])).unwrap().noticed.unread_pages, 1);
    assert_eq!(read(&pdf_of(&["0 0 10 10 re f", ""])), Err(FormatError::OnlyPictures { pages: 2 }));
}
