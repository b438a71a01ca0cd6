"""The images, one family a file. A new file here is drawn and shown wherever it applies; nothing else names it."""
