"""Reading the log as it is stored, for operators and auditors: filters, scans, exports."""
