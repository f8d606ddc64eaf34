list-sas reply {
}
