"""The plots, one family a file. A new file here is drawn and shown wherever it applies; there is no list of them."""
