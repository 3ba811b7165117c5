"""What kind of contract document is this page? A second classifier, with pages that it draws itself."""
