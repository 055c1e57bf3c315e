"""The data of famulus-16e: built anew from package indexes by ``famulus train data``, every file with its licence."""
