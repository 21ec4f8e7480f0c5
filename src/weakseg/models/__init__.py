"""Networks, and the loading of published weights into them."""
